//! SQS: standard queues, over the JSON protocol, and the event source mapping that delivers their messages to the function.
//!
//! Requests, answers and limits: Amazon SQS API Reference. Handling of a batch: Lambda Developer Guide, "Using Lambda with Amazon SQS".

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::ec2::Ec2Error;
use crate::lambda::{Lambda, UnderWay};
use crate::lock::lock;
use crate::{ids, times};

/// Most entries of a batch (Amazon SQS API Reference, SendMessageBatch).
const BATCH_ENTRIES_MAX: usize = 10;

/// Largest message, and largest batch of them (Amazon SQS Developer Guide, "Amazon SQS message quotas").
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// A queue to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// Its name.
    pub name: String,
    /// How long a received message is hidden.
    pub visibility_timeout: Duration,
    /// The redrive policy: most receives of a message, and the name of its dead-letter queue.
    pub redrive: Option<(u32, String)>,
    /// Delivers its messages to the function.
    pub event_source: Option<EventSource>,
}

impl QueueConfig {
    /// A queue with AWS's defaults and without an event source mapping.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            visibility_timeout: Duration::from_secs(30),
            redrive: None,
            event_source: None,
        }
    }
}

/// An event source mapping with `ReportBatchItemFailures`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSource {
    /// Most messages in an invocation.
    pub batch_size: usize,
    /// Most invocations at once.
    pub concurrency: usize,
}

/// The queues of the stack's account and Region; clones are the same queues.
#[derive(Debug, Clone)]
pub struct Queues {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    lambda: Lambda,
    queues: Mutex<BTreeMap<String, Queue>>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Queue {
    config: QueueConfig,
    messages: Vec<Message>,
}

#[derive(Debug)]
struct Message {
    id: String,
    body: String,
    sent_ms: u64,
    visible_at: Instant,
    receives: u32,
    receipt: String,
    /// While a message waits for the function, the stack is not idle.
    _under_way: Option<UnderWay>,
}

/// A message as it is received.
#[derive(Debug, Clone)]
struct Received {
    id: String,
    body: String,
    receipt: String,
    receives: u32,
    sent_ms: u64,
}

impl Queues {
    pub(crate) fn new(lambda: Lambda) -> Self {
        Self {
            inner: Arc::new(Inner {
                lambda,
                queues: Mutex::default(),
                changed: watch::Sender::new(()),
            }),
        }
    }

    /// Makes a queue; does nothing if it exists.
    pub fn create(&self, config: QueueConfig) {
        let source = config
            .event_source
            .map(|source| (config.name.clone(), source));
        let mut queues = lock(&self.inner.queues);
        if queues.contains_key(&config.name) {
            return;
        }
        let name = config.name.clone();
        let messages = Vec::new();
        queues.insert(name, Queue { config, messages });
        drop(queues);
        if let Some((name, source)) = source {
            for _ in 0..source.concurrency {
                let queues = self.clone();
                let name = name.clone();
                self.inner
                    .lambda
                    .runtime()
                    .spawn(async move { queues.poll(&name, source.batch_size).await });
            }
        }
    }

    /// The URL of a queue.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        let lambda = &self.inner.lambda;
        format!("{}/{}/{name}", lambda.endpoint(), lambda.account())
    }

    /// The ARN of a queue.
    #[must_use]
    pub fn arn(&self, name: &str) -> String {
        let lambda = &self.inner.lambda;
        ids::arn("sqs", lambda.region(), lambda.account(), name)
    }

    /// The bodies of the messages in a queue, hidden ones included.
    #[must_use]
    pub fn bodies(&self, name: &str) -> Vec<String> {
        let queues = lock(&self.inner.queues);
        let messages = queues.get(name).map(|queue| &queue.messages);
        let bodies = messages.into_iter().flatten();
        bodies.map(|message| message.body.clone()).collect()
    }

    /// Puts a message into a queue; returns its id.
    pub fn send(&self, name: &str, body: impl Into<String>, delay: Duration) -> Option<String> {
        let mut queues = lock(&self.inner.queues);
        let queue = queues.get_mut(name)?;
        let message = Message {
            id: ids::uuid(),
            body: body.into(),
            sent_ms: times::epoch_ms(),
            visible_at: Instant::now() + delay,
            receives: 0,
            receipt: String::new(),
            _under_way: queue
                .config
                .event_source
                .map(|_| self.inner.lambda.under_way()),
        };
        let id = message.id.clone();
        queue.messages.push(message);
        drop(queues);
        self.inner.changed.send_replace(());
        Some(id)
    }

    /// Hides and returns up to `most` messages. Messages received too often move to the dead-letter queue instead.
    fn receive(&self, name: &str, most: usize) -> Vec<Received> {
        let now = Instant::now();
        let mut dead = Vec::new();
        let mut received = Vec::new();
        {
            let mut queues = lock(&self.inner.queues);
            let Some(queue) = queues.get_mut(name) else {
                return received;
            };
            let (hidden_for, redrive) = (
                queue.config.visibility_timeout,
                queue.config.redrive.clone(),
            );
            queue.messages.retain_mut(|message| {
                if message.visible_at > now || received.len() == most {
                    return true;
                }
                if let Some((receives_max, dead_letter_queue)) = &redrive
                    && message.receives >= *receives_max
                {
                    dead.push((dead_letter_queue.clone(), message.body.clone()));
                    return false;
                }
                message.receives += 1;
                message.receipt = ids::uuid();
                message.visible_at = now + hidden_for;
                received.push(Received {
                    id: message.id.clone(),
                    body: message.body.clone(),
                    receipt: message.receipt.clone(),
                    receives: message.receives,
                    sent_ms: message.sent_ms,
                });
                true
            });
        }
        for (dead_letter_queue, body) in dead {
            self.send(&dead_letter_queue, body, Duration::ZERO);
        }
        received
    }

    fn delete(&self, name: &str, receipt: &str) {
        if let Some(queue) = lock(&self.inner.queues).get_mut(name) {
            queue.messages.retain(|message| message.receipt != receipt);
        }
    }

    /// A poller of an event source mapping; runs as long as the stack.
    async fn poll(&self, name: &str, batch_size: usize) {
        let mut changed = self.inner.changed.subscribe();
        // In the name of the function's role (Lambda Developer Guide, "Using Lambda with Amazon SQS").
        let may = |action: &str| self.inner.lambda.may(action, Some(self.arn(name)));
        if !(may("sqs:GetQueueAttributes") && may("sqs:ReceiveMessage") && may("sqs:DeleteMessage"))
        {
            return;
        }
        loop {
            changed.mark_unchanged();
            let batch = self.receive(name, batch_size);
            if batch.is_empty() {
                let next = {
                    let queues = lock(&self.inner.queues);
                    let messages = queues.get(name).map(|queue| &queue.messages);
                    let times = messages.into_iter().flatten();
                    times.map(|message| message.visible_at).min()
                };
                let quiet = Duration::from_secs(3600);
                let next = next.unwrap_or_else(|| Instant::now() + quiet);
                tokio::select! {
                    () = tokio::time::sleep_until(next.into()) => {}
                    _ = changed.changed() => {}
                }
                continue;
            }
            self.deliver(name, batch).await;
        }
    }

    /// Invokes the function with a batch, and deletes the messages that it does not report as failed.
    async fn deliver(&self, name: &str, batch: Vec<Received>) {
        let records: Vec<Value> = batch
            .iter()
            .map(|message| self.record(name, message))
            .collect();
        let answer = self
            .inner
            .lambda
            .invoke(json!({ "Records": records }))
            .await;
        if answer.function_error.is_some() {
            return;
        }
        let failures = answer.payload["batchItemFailures"].as_array();
        let failed: Vec<&str> = failures
            .into_iter()
            .flatten()
            .filter_map(|failure| failure["itemIdentifier"].as_str())
            .collect();
        // An identifier that is not in the batch fails the whole batch.
        if failed
            .iter()
            .any(|id| batch.iter().all(|message| message.id != *id))
        {
            return;
        }
        for message in batch {
            if !failed.contains(&message.id.as_str()) {
                self.delete(name, &message.receipt);
            }
        }
    }

    fn record(&self, name: &str, message: &Received) -> Value {
        json!({
            "messageId": message.id, "receiptHandle": message.receipt, "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": message.receives.to_string(),
                "SentTimestamp": message.sent_ms.to_string(),
                "SenderId": "AROALOCALFUNCTION:rulekeeper",
                "ApproximateFirstReceiveTimestamp": message.sent_ms.to_string(),
            },
            "messageAttributes": {}, "eventSource": "aws:sqs", "eventSourceARN": self.arn(name),
            "awsRegion": self.inner.lambda.region(),
        })
    }

    /// Carries out one action of the API.
    pub(crate) fn call(&self, action: &str, request: &Value) -> Result<Value, Ec2Error> {
        match action {
            "GetQueueUrl" => {
                let name = text(request, "QueueName")?;
                self.known(name)?;
                Ok(json!({ "QueueUrl": self.url(name) }))
            }
            "GetQueueAttributes" => self.attributes(self.named(request)?),
            "SendMessage" => {
                let name = self.named(request)?;
                self.send_entry(name, request)
            }
            "SendMessageBatch" => self.send_batch(request),
            "ReceiveMessage" => {
                let name = self.named(request)?;
                let most = request["MaxNumberOfMessages"].as_u64().unwrap_or(1);
                let received = self.receive(name, usize::try_from(most).unwrap_or(1));
                let messages: Vec<Value> = received
                    .into_iter()
                    .map(|message| {
                        json!({ "MessageId": message.id, "ReceiptHandle": message.receipt, "Body": message.body })
                    })
                    .collect();
                Ok(json!({ "Messages": messages }))
            }
            "DeleteMessage" => {
                let name = self.named(request)?;
                self.delete(name, text(request, "ReceiptHandle")?);
                Ok(json!({}))
            }
            other => Err(Ec2Error::new(
                "UnknownOperationException",
                format!("rulekeeper-local does not imitate sqs:{other}"),
            )),
        }
    }

    fn attributes(&self, name: &str) -> Result<Value, Ec2Error> {
        let queues = lock(&self.inner.queues);
        let queue = queues.get(name).ok_or_else(no_queue)?;
        let now = Instant::now();
        let (mut visible, mut in_flight, mut delayed) = (0, 0, 0);
        for message in &queue.messages {
            match (message.visible_at > now, message.receives) {
                (false, _) => visible += 1,
                (true, 0) => delayed += 1,
                (true, _) => in_flight += 1,
            }
        }
        let mut attributes = json!({
            "QueueArn": self.arn(name),
            "ApproximateNumberOfMessages": visible.to_string(),
            "ApproximateNumberOfMessagesNotVisible": in_flight.to_string(),
            "ApproximateNumberOfMessagesDelayed": delayed.to_string(),
            "VisibilityTimeout": queue.config.visibility_timeout.as_secs().to_string(),
        });
        if let Some((receives_max, dead_letter_queue)) = &queue.config.redrive {
            let policy = json!({ "deadLetterTargetArn": self.arn(dead_letter_queue), "maxReceiveCount": receives_max });
            attributes["RedrivePolicy"] = policy.to_string().into();
        }
        Ok(json!({ "Attributes": attributes }))
    }

    fn send_entry(&self, name: &str, entry: &Value) -> Result<Value, Ec2Error> {
        let body = text(entry, "MessageBody")?;
        if body.is_empty() || body.len() > MESSAGE_BYTES_MAX {
            let message = format!("a message has 1 to {MESSAGE_BYTES_MAX} bytes");
            return Err(Ec2Error::new("InvalidParameterValue", message));
        }
        let delay = entry["DelaySeconds"].as_u64().unwrap_or(0);
        if delay > 900 {
            let message = format!(
                "Value {delay} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."
            );
            return Err(Ec2Error::new("InvalidParameterValue", message));
        }
        let id = self
            .send(name, body, Duration::from_secs(delay))
            .ok_or_else(no_queue)?;
        Ok(json!({ "MessageId": id }))
    }

    fn send_batch(&self, request: &Value) -> Result<Value, Ec2Error> {
        let name = self.named(request)?;
        let entries = request["Entries"].as_array().cloned().unwrap_or_default();
        let refuse = |code: &str, message: &str| Err(Ec2Error::new(code, message.to_owned()));
        if entries.is_empty() {
            return refuse(
                "EmptyBatchRequest",
                "There should be at least one SendMessageBatchRequestEntry in the request.",
            );
        }
        if entries.len() > BATCH_ENTRIES_MAX {
            return refuse(
                "TooManyEntriesInBatchRequest",
                "Maximum number of entries per request are 10.",
            );
        }
        let bodies = entries
            .iter()
            .filter_map(|entry| entry["MessageBody"].as_str());
        if bodies.map(str::len).sum::<usize>() > MESSAGE_BYTES_MAX {
            return refuse(
                "BatchRequestTooLong",
                "Batch requests cannot be longer than 1048576 bytes.",
            );
        }
        let ids: std::collections::BTreeSet<_> = entries
            .iter()
            .map(|entry| entry["Id"].as_str().unwrap_or_default())
            .collect();
        if ids.len() < entries.len() {
            return refuse(
                "BatchEntryIdsNotDistinct",
                "Two or more batch entries in the request have the same Id.",
            );
        }
        let (mut sent, mut failed) = (Vec::new(), Vec::new());
        for entry in &entries {
            match self.send_entry(name, entry) {
                Ok(answer) => sent.push(json!({ "Id": entry["Id"], "MessageId": answer["MessageId"] })),
                Err(error) => failed.push(json!({ "Id": entry["Id"], "Code": error.code, "Message": error.message, "SenderFault": true })),
            }
        }
        Ok(json!({ "Successful": sent, "Failed": failed }))
    }

    /// The name of the queue in a request's URL.
    fn named<'a>(&self, request: &'a Value) -> Result<&'a str, Ec2Error> {
        let url = text(request, "QueueUrl")?;
        let name = url.rsplit('/').next().unwrap_or(url);
        self.known(name)?;
        Ok(name)
    }

    fn known(&self, name: &str) -> Result<(), Ec2Error> {
        match lock(&self.inner.queues).contains_key(name) {
            true => Ok(()),
            false => Err(no_queue()),
        }
    }
}

fn no_queue() -> Ec2Error {
    Ec2Error::new("QueueDoesNotExist", "The specified queue does not exist.")
}

fn text<'a>(request: &'a Value, name: &str) -> Result<&'a str, Ec2Error> {
    request[name].as_str().ok_or_else(|| {
        Ec2Error::new(
            "MissingParameter",
            format!("The request must contain the parameter {name}."),
        )
    })
}
