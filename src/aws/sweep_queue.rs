//! The queue that feeds the function.

use std::time::Duration;

use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use serde_json::json;

use super::call::{Attempts, unusable, whole, within};
use rulekeeper_core::ports::{ApiError, Budget, Calls, SweepQueue, SweepTask};

/// SQS accepts ten messages in a call (Amazon SQS API Reference, SendMessageBatch).
const MESSAGES_PER_CALL: usize = 10;

/// An SQS queue, for one piece of work.
#[derive(Debug, Clone)]
pub struct SqsSweepQueue {
    pub(super) client: aws_sdk_sqs::Client,
    pub(super) url: String,
    pub(super) calls: Calls,
    pub(super) budget: Budget,
}

impl SqsSweepQueue {
    fn counting(&self, operation: &'static str) -> Attempts {
        Attempts {
            calls: self.calls.clone(),
            operation,
        }
    }
}

impl SweepQueue for SqsSweepQueue {
    async fn waiting(&self) -> Result<u64, ApiError> {
        const OPERATION: &str = "GetQueueAttributes";
        use QueueAttributeName as Name;
        let counts = [
            Name::ApproximateNumberOfMessages,
            Name::ApproximateNumberOfMessagesNotVisible,
        ];
        let request = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .set_attribute_names(Some(counts.to_vec()))
            .customize()
            .interceptor(self.counting(OPERATION));
        let answer = within(self.budget.bookkeeping_until(), OPERATION, request.send()).await?;
        let count = |name: &Name| {
            let given = answer.attributes().and_then(|given| given.get(name));
            let count = given.and_then(|count| count.parse::<u64>().ok());
            whole(OPERATION, name.as_str(), count)
        };
        counts.iter().map(count).sum()
    }

    async fn send(&self, tasks: &[SweepTask]) -> Result<(), ApiError> {
        const OPERATION: &str = "SendMessageBatch";
        for tasks in tasks.chunks(MESSAGES_PER_CALL) {
            let entries = tasks.iter().enumerate().map(|(number, task)| {
                SendMessageBatchRequestEntry::builder()
                    .id(number.to_string())
                    .message_body(body(task))
                    .set_delay_seconds(delay_seconds(task.delay))
                    .build()
            });
            let entries = entries.collect::<Result<Vec<_>, _>>();
            let entries = entries.map_err(|error| unusable(OPERATION, error))?;
            let request = self
                .client
                .send_message_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries))
                .customize()
                .interceptor(self.counting(OPERATION));
            let answer = within(self.budget.bookkeeping_until(), OPERATION, request.send()).await?;
            if let Some(first) = answer.failed().first() {
                let message = format!(
                    "{} of {} messages were refused, the first with {}: {}",
                    answer.failed().len(),
                    tasks.len(),
                    first.code(),
                    first.message().unwrap_or_default()
                );
                return Err(unusable(OPERATION, message));
            }
            let (accepted, sent) = (answer.successful().len(), tasks.len());
            if accepted < sent {
                let message = format!("the answer is about {accepted} of {sent} messages");
                return Err(unusable(OPERATION, message));
            }
        }
        Ok(())
    }
}

/// A sweep request, as anybody may send it to the function.
fn body(task: &SweepTask) -> String {
    let mut request = json!({
        "account": task.scope.account, "region": task.scope.region, "attempt": task.attempt,
    });
    for (name, id) in [("after", &task.range.after), ("until", &task.range.until)] {
        if let Some(id) = id {
            request[name] = id.clone().into();
        }
    }
    json!({ "sweep": request }).to_string()
}

fn delay_seconds(delay: Duration) -> Option<i32> {
    let seconds = i32::try_from(delay.as_secs()).unwrap_or(900).min(900);
    (seconds > 0).then_some(seconds)
}
