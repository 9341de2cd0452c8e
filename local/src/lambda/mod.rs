//! Lambda: queue, instances, timeouts, retries, events that were given up (Lambda Developer Guide, asynchronous invocation and "Using the Lambda runtime API").

mod control;
mod engine;
mod in_role;
mod process;
pub(crate) mod runtime_api;
mod views;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::oneshot;

pub use engine::Lambda;
pub use in_role::{Destinations, SentRecord};

/// Largest payload and answer of an invocation, and largest event (Lambda API Reference, Invoke: 6 MB, and 1 MB for
/// asynchronous invocations).
pub(crate) const PAYLOAD_BYTES_MAX: usize = 6 * 1024 * 1024;
pub(crate) const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// How the function is run.
#[derive(Debug, Clone)]
pub struct LambdaConfig {
    /// The program to start for each instance; `None` to wait for functions started elsewhere.
    pub program: Option<PathBuf>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, on top of what Lambda sets. Of our own environment only `PATH` is passed on.
    pub env: BTreeMap<String, String>,
    /// The function's name.
    pub name: String,
    /// Memory that the function is told of, in MB; not enforced.
    pub memory_mb: u32,
    /// Longest duration of one invocation.
    pub timeout: Duration,
    /// Most instances at once.
    pub concurrency: usize,
    /// Waits before each retry of a failed asynchronous invocation. AWS retries twice, after one minute and after two.
    pub retry_waits: Vec<Duration>,
    /// An event is given up if it would be older than this at its next attempt (AWS: up to six hours).
    pub max_event_age: Duration,
    /// Where the function's output goes, besides [`Lambda::logs`].
    pub log: LogSink,
    /// Where the records of asynchronous invocations go.
    pub destinations: Destinations,
}

impl Default for LambdaConfig {
    fn default() -> Self {
        Self {
            program: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            name: "rulekeeper".to_owned(),
            memory_mb: 512,
            timeout: Duration::from_secs(30),
            concurrency: 10,
            retry_waits: vec![Duration::from_secs(60), Duration::from_secs(120)],
            max_event_age: Duration::from_secs(6 * 60 * 60),
            log: LogSink::Capture,
            destinations: Destinations::default(),
        }
    }
}

impl LambdaConfig {
    /// Runs a program with the defaults.
    pub fn program(program: impl Into<PathBuf>) -> Self {
        Self {
            program: Some(program.into()),
            ..Self::default()
        }
    }
}

/// Where the function's output goes, besides [`Lambda::logs`].
#[derive(Clone, Default)]
pub enum LogSink {
    /// Nowhere.
    #[default]
    Capture,
    /// To our own standard error.
    Stderr,
    /// To a closure, line by line.
    Call(Arc<dyn Fn(&LogLine) + Send + Sync>),
}

impl std::fmt::Debug for LogSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Capture => "Capture",
            Self::Stderr => "Stderr",
            Self::Call(_) => "Call",
        })
    }
}

/// A line the function wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The instance.
    pub instance: u64,
    /// The invocation that runs on the instance, or its last one; `None` during start.
    pub request_id: Option<String>,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// The line without its end.
    pub text: String,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The function answered.
    Success,
    /// The function reported an error.
    FunctionError,
    /// It ran out of time and was killed.
    TimedOut,
    /// Its process ended or never came up.
    Crashed,
}

/// One attempt at an invocation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Invocation {
    /// The same for all attempts.
    pub request_id: String,
    /// From 1.
    pub attempt: usize,
    /// Whether it is asynchronous, and so retried.
    pub asynchronous: bool,
    /// When it was handed to the instance, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// Time from then to the answer, in microseconds.
    pub took_us: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The answer or the error; text that is not JSON is a JSON string.
    pub response: Value,
    /// Whether it is the instance's first.
    pub cold_start: bool,
    /// The instance.
    pub instance: u64,
    /// The event.
    pub payload: Value,
}

/// The result of a synchronous invocation.
#[derive(Debug, Clone, PartialEq)]
pub struct InvocationResult {
    /// The invocation's id.
    pub request_id: String,
    /// The answer, or the error object.
    pub payload: Value,
    /// `Unhandled` if it failed, as in `X-Amz-Function-Error`.
    pub function_error: Option<String>,
    /// Time from the start on the instance to the answer.
    pub duration: Duration,
    /// Whether the instance was new.
    pub cold_start: bool,
    /// The instance.
    pub instance: u64,
}

/// An event that was given up, as Lambda's dead-letter queue would hold it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadLetter {
    /// The invocation's id.
    pub request_id: String,
    /// The event.
    pub payload: Value,
    /// `RetriesExhausted` or `EventAgeExceeded`, as in Lambda's failure destinations.
    pub reason: String,
    /// How many attempts were made.
    pub attempts: usize,
    /// The last error.
    pub error: Value,
}

/// The events that are not done yet, by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Waiting for an instance.
    pub queued: usize,
    /// Running on an instance.
    pub running: usize,
    /// Failed, waiting for a retry.
    pub waiting: usize,
    /// Under way through EventBridge or SQS.
    pub under_way: usize,
}

/// Events were left when the time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the function is not idle: {load:?}")]
pub struct NotIdle {
    /// The events that were left.
    pub load: Load,
}

/// An invocation that is queued or runs.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request_id: String,
    pub(crate) payload: Value,
    pub(crate) attempt: usize,
    pub(crate) since: std::time::Instant,
    /// The answer to a synchronous caller.
    pub(crate) reply: Option<oneshot::Sender<InvocationResult>>,
}

pub(crate) use engine::{EXTERNAL, UnderWay};
pub(crate) use process::FUNCTION_ACCESS_KEY;
