//! Sends the results of a queue's messages and of the watch to the bus of results. For all other invocations, Lambda sends them.

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use serde_json::{Value, json};

use super::Clients;
use super::call::{unusable, whole, within};
use rulekeeper_core::ports::{ApiError, Budget, Failure};

const OPERATION: &str = "PutEvents";

/// The source of these events. Lambda's own events have `lambda`.
const SOURCE: &str = "rulekeeper";

impl Clients {
    /// Puts an answer on the bus of results, in the format of Lambda's invocation record but for its detail type. Does
    /// nothing without a bus.
    ///
    /// # Errors
    /// When EventBridge does not accept it.
    pub async fn tell(
        &self,
        detail_type: &str,
        request_id: &str,
        answer: &Value,
        budget: Budget,
    ) -> Result<(), ApiError> {
        let Some(bus) = &self.results_bus else {
            return Ok(());
        };
        let detail = json!({
            "requestContext": {"requestId": request_id, "condition": "Success"}, "responsePayload": answer,
        });
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(bus)
            .source(SOURCE)
            .detail_type(detail_type)
            .detail(detail.to_string())
            .build();
        let request = aws_sdk_eventbridge::Client::new(&self.config)
            .put_events()
            .entries(entry)
            .send();
        let answer = within(budget.bookkeeping_until(), OPERATION, request).await?;
        match answer.entries() {
            [entry] if entry.error_code().is_some() => Err(ApiError {
                operation: OPERATION,
                failure: Failure::Refused {
                    code: entry.error_code().unwrap_or_default().to_owned(),
                },
                message: entry.error_message().unwrap_or_default().to_owned(),
            }),
            [entry] => whole(OPERATION, "EventId", entry.event_id()).map(drop),
            entries => Err(unusable(
                OPERATION,
                format_args!("the answer is about {} entries, not 1", entries.len()),
            )),
        }
    }
}
