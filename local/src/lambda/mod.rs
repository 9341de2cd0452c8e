//! Lambda: queue, instances, timeouts, retries, dead letters (Lambda Developer Guide, asynchronous invocation and "Using the Lambda runtime API").

mod control;
mod engine;
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

/// How the function is run.
#[derive(Debug, Clone)]
pub struct LambdaConfig {
    /// The program to start for each instance; `None` to wait for functions started elsewhere.
    pub program: Option<PathBuf>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, on top of what Lambda sets. Nothing else of our own environment is passed on but `PATH`.
    pub env: BTreeMap<String, String>,
    /// The function's name.
    pub name: String,
    /// Memory as told to the function, in MB; not enforced.
    pub memory_mb: u32,
    /// Longest run of one invocation.
    pub timeout: Duration,
    /// Most instances at once.
    pub concurrency: usize,
    /// Waits before each new try of an asynchronous invocation that failed: AWS makes two more, after one minute and two.
    pub retry_waits: Vec<Duration>,
    /// An event that would be older than this at its next try is given up (AWS: up to six hours).
    pub max_event_age: Duration,
    /// Where the function's output goes, besides [`Lambda::logs`].
    pub log: LogSink,
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

/// Where the function's output goes, besides being kept.
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
    /// Which instance.
    pub instance: u64,
    /// The invocation that ran there, or the last one that did; `None` during start.
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
    /// Its process ended, or never came up.
    Crashed,
}

/// One attempt at an invocation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Invocation {
    /// The same for all attempts.
    pub request_id: String,
    /// From 1.
    pub attempt: usize,
    /// Asynchronous, so that it is tried again.
    pub asynchronous: bool,
    /// When it was handed to the instance, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// From there to the answer, in microseconds.
    pub took_us: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The answer or the error; text that is not JSON is a JSON string.
    pub response: Value,
    /// The instance's first.
    pub cold_start: bool,
    /// Which instance.
    pub instance: u64,
    /// The event.
    pub payload: Value,
}

/// What a synchronous invocation brought.
#[derive(Debug, Clone, PartialEq)]
pub struct InvocationResult {
    /// The invocation's id.
    pub request_id: String,
    /// The answer, or the error object.
    pub payload: Value,
    /// `Unhandled` if it failed, as in `X-Amz-Function-Error`.
    pub function_error: Option<String>,
    /// From hand-over to answer.
    pub duration: Duration,
    /// Whether the instance was new.
    pub cold_start: bool,
    /// Which instance.
    pub instance: u64,
}

/// An event that was given up.
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

/// What there is to do at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Waiting for an instance.
    pub queued: usize,
    /// With an instance.
    pub running: usize,
    /// Failed, waiting for the next try.
    pub waiting: usize,
    /// Still on their way through EventBridge.
    pub under_way: usize,
}

/// Events were still on their way when the time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the function is not idle: {load:?}")]
pub struct NotIdle {
    /// What there was left to do.
    pub load: Load,
}

/// An invocation on its way.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request_id: String,
    pub(crate) payload: Value,
    pub(crate) attempt: usize,
    pub(crate) since: std::time::Instant,
    /// Where a synchronous caller waits.
    pub(crate) reply: Option<oneshot::Sender<InvocationResult>>,
}

pub(crate) use engine::{EXTERNAL, UnderWay};
pub(crate) use process::FUNCTION_ACCESS_KEY;
