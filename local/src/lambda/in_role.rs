//! What Lambda does in the name of the function's role: logs, traces, and the records of asynchronous invocations (Lambda
//! Developer Guide, "Defining Lambda function permissions with an execution role" and "Capturing records of Lambda
//! asynchronous invocations").

use serde::Serialize;
use serde_json::{Value, json};

use super::engine::State;
use super::{Job, Lambda, Outcome};
use crate::ids;
use crate::lock::lock;
use crate::policy::Access;
use crate::times;

/// Largest records for a bus and for a queue. `events` and `sqs` have the sources.
const FOR_BUS_BYTES_MAX: usize = 256 * 1024;
const FOR_QUEUE_BYTES_MAX: usize = 1024 * 1024;

/// The ARNs that Lambda sends the records of asynchronous invocations to. Without one, no record is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Destinations {
    /// An event bus, for answers.
    pub on_success: Option<String>,
    /// A queue, for events that were given up.
    pub on_failure: Option<String>,
}

/// A record that Lambda sent, or could not send.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SentRecord {
    /// The ARN of its destination.
    pub destination: String,
    /// The record.
    pub record: Value,
    /// Why it did not arrive; Lambda counts it as `DestinationDeliveryFailures` and drops it.
    pub refused: Option<String>,
}

impl Lambda {
    /// The records of asynchronous invocations, in order.
    #[must_use]
    pub fn sent_records(&self) -> Vec<SentRecord> {
        lock(&self.inner.state).records.clone()
    }

    /// Whether the function's role may do this.
    pub(crate) fn may(&self, action: &str, resource: Option<String>) -> bool {
        let access = Access::new(action, resource);
        self.inner.iam.allows(&self.inner.role, access)
    }

    fn log_stream(&self, instance: u64) -> String {
        let (group, stream) = (self.log_group(), Self::log_stream_name(instance));
        let resource = format!("log-group:{group}:log-stream:{stream}");
        ids::arn("logs", &self.inner.region, &self.inner.account, &resource)
    }

    pub(super) fn log_group(&self) -> String {
        format!("/aws/lambda/{}", self.inner.config.name)
    }

    pub(super) fn log_stream_name(instance: u64) -> String {
        format!("local/[$LATEST]{instance:032x}")
    }

    /// Makes the log stream of an instance. Without it nothing that the instance writes is kept.
    pub(super) fn opens_log(&self, instance: u64) -> bool {
        self.may("logs:CreateLogStream", Some(self.log_stream(instance)))
    }

    pub(super) fn keeps_log(&self, instance: u64) -> bool {
        self.may("logs:PutLogEvents", Some(self.log_stream(instance)))
    }

    /// Sends the trace of an invocation, which is not kept (AWS X-Ray Developer Guide, `AWSXRayDaemonWriteAccess`).
    pub(super) fn trace(&self) {
        for action in ["xray:PutTraceSegments", "xray:PutTelemetryRecords"] {
            self.may(action, None);
        }
    }

    /// Sends the record of an asynchronous invocation that is done.
    pub(super) fn send_record(
        &self,
        state: &mut State,
        job: &Job,
        outcome: Outcome,
        condition: &str,
        response: &Value,
    ) {
        let to = &self.inner.config.destinations;
        let (to, action, bytes_max) = match outcome {
            Outcome::Success => (&to.on_success, "events:PutEvents", FOR_BUS_BYTES_MAX),
            _ => (&to.on_failure, "sqs:SendMessage", FOR_QUEUE_BYTES_MAX),
        };
        let Some(destination) = to.clone() else {
            return;
        };
        let mut context = json!({ "statusCode": 200, "executedVersion": "$LATEST" });
        if outcome != Outcome::Success {
            context["functionError"] = "Unhandled".into();
        }
        let record = json!({
            "version": "1.0", "timestamp": times::to_the_second(),
            "requestContext": {
                "requestId": job.request_id, "functionArn": format!("{}:$LATEST", self.arn()),
                "condition": condition, "approximateInvokeCount": job.attempt,
            },
            "requestPayload": job.payload, "responseContext": context, "responsePayload": response,
        });
        let bytes = record.to_string().len();
        let refused = if !self.may(action, Some(destination.clone())) {
            Some(format!("the role may not call {action}"))
        } else if bytes > bytes_max {
            Some(format!("{bytes} bytes, of at most {bytes_max}"))
        } else {
            None
        };
        state.records.push(SentRecord {
            destination,
            record,
            refused,
        });
    }
}
