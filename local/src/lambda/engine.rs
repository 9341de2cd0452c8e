//! The queue of events, and the course of an invocation.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    DeadLetter, Invocation, InvocationResult, Job, LambdaConfig, LogLine, LogSink, Outcome,
    SentRecord,
};
use crate::lock::lock;
use crate::policy::Iam;
use crate::{ids, times};

/// The instance number of functions that were started elsewhere.
pub(crate) const EXTERNAL: u64 = 0;

/// The function and its queue; clones are the same function.
#[derive(Debug, Clone)]
pub struct Lambda {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: LambdaConfig,
    pub(super) runtime: Handle,
    pub(super) state: Mutex<State>,
    pub(super) under_way: AtomicUsize,
    pub(super) changed: watch::Sender<()>,
    pub(super) account: String,
    pub(super) region: String,
    /// The ARN of the function's role.
    pub(super) role: String,
    pub(super) iam: Iam,
    endpoint: String,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) queue: VecDeque<Job>,
    pub(super) instances: BTreeMap<u64, Instance>,
    idle: VecDeque<Idle>,
    pub(super) running: BTreeMap<String, Running>,
    pub(super) waiting: usize,
    pub(super) log: Vec<Invocation>,
    pub(super) dead: Vec<DeadLetter>,
    pub(super) lines: Vec<LogLine>,
    pub(super) records: Vec<SentRecord>,
    last_instance: u64,
    pub(super) closing: bool,
}

impl State {
    /// Kills a process of ours and gives it no more work.
    fn stop(&mut self, id: u64) {
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        instance.stopping = true;
        if let Some(kill) = instance.kill.take() {
            // An error means that the process has ended by itself.
            let _ = kill.send(());
        }
        self.idle.retain(|idle| idle.instance != id);
    }
}

/// Asks a reader of a process's output to read what there is.
pub(super) type Flush = mpsc::UnboundedSender<oneshot::Sender<()>>;

/// A process of ours.
#[derive(Debug, Default)]
pub(super) struct Instance {
    /// Has asked for its first event.
    pub(super) up: bool,
    /// Has received its first event.
    warm: bool,
    /// Is being killed and gets no more work.
    stopping: bool,
    current: Option<String>,
    last: Option<String>,
    kill: Option<oneshot::Sender<()>>,
    /// One for each reader of its output.
    flush: Vec<Flush>,
    pub(super) init_error: Option<Value>,
    /// Its log stream is there.
    pub(super) logs: bool,
}

impl Instance {
    pub(super) fn new(kill: oneshot::Sender<()>, flush: Vec<Flush>, logs: bool) -> Self {
        Self {
            logs,
            kill: Some(kill),
            flush,
            ..Self::default()
        }
    }
}

/// An instance that waits at `invocation/next`.
#[derive(Debug)]
struct Idle {
    instance: u64,
    give: oneshot::Sender<Assignment>,
}

#[derive(Debug)]
pub(super) struct Running {
    job: Job,
    instance: u64,
    cold_start: bool,
    started: Instant,
    started_ms: u64,
}

/// An event for an instance.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) request_id: String,
    pub(crate) payload: Value,
    pub(crate) deadline_ms: u64,
}

/// Counts an event as under way until dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Lambda);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.inner.under_way.fetch_sub(1, Ordering::SeqCst);
        self.0.notify();
    }
}

impl Lambda {
    /// `endpoint` is the address of AWS for the instances. The function has this role.
    pub(crate) fn new(
        config: LambdaConfig,
        runtime: Handle,
        account: String,
        region: String,
        endpoint: String,
        (role, iam): (String, Iam),
    ) -> Self {
        let inner = Inner {
            config,
            runtime,
            state: Mutex::default(),
            under_way: AtomicUsize::new(0),
            changed: watch::Sender::new(()),
            account,
            region,
            role,
            iam,
            endpoint,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.inner.runtime
    }

    pub(crate) fn account(&self) -> &str {
        &self.inner.account
    }

    pub(crate) fn region(&self) -> &str {
        &self.inner.region
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.inner.endpoint
    }

    pub(crate) fn arn(&self) -> String {
        let resource = format!("function:{}", self.inner.config.name);
        ids::arn("lambda", &self.inner.region, &self.inner.account, &resource)
    }

    /// The function's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.config.name
    }

    /// Invokes the function and waits for its answer. If every instance is busy it waits for one; AWS would refuse (`TooManyRequestsException`).
    pub async fn invoke(&self, payload: Value) -> InvocationResult {
        let (reply, answer) = oneshot::channel();
        let request_id = self.enqueue(payload, Some(reply));
        answer.await.unwrap_or_else(|_| InvocationResult {
            request_id,
            payload: json!({"errorType": "Runtime.Closed", "errorMessage": "the local stack was shut down"}),
            function_error: Some("Unhandled".to_owned()),
            duration: Duration::ZERO,
            cold_start: false,
            instance: EXTERNAL,
        })
    }

    /// Queues an event, with retries, and returns the request id.
    pub fn invoke_event(&self, payload: Value) -> String {
        self.enqueue(payload, None)
    }

    fn enqueue(&self, payload: Value, reply: Option<oneshot::Sender<InvocationResult>>) -> String {
        let request_id = ids::uuid();
        let job = Job {
            request_id: request_id.clone(),
            payload,
            attempt: 1,
            since: Instant::now(),
            reply,
        };
        lock(&self.inner.state).queue.push_back(job);
        self.dispatch();
        request_id
    }

    /// Kills all instances, so that the next invocation starts cold.
    pub fn kill_instances(&self) {
        let mut state = lock(&self.inner.state);
        let all: Vec<_> = state.instances.keys().copied().collect();
        all.into_iter().for_each(|id| state.stop(id));
    }

    /// Kills one instance. What runs on it fails.
    pub fn kill_instance(&self, id: u64) {
        lock(&self.inner.state).stop(id);
    }

    pub(crate) fn under_way(&self) -> UnderWay {
        self.inner.under_way.fetch_add(1, Ordering::SeqCst);
        UnderWay(self.clone())
    }

    pub(super) fn notify(&self) {
        self.inner.changed.send_replace(());
    }

    /// Assigns queued jobs to idle instances, and starts instances for the rest up to the concurrency.
    pub(super) fn dispatch(&self) {
        let mut guard = lock(&self.inner.state);
        let state = &mut *guard;
        while !state.queue.is_empty() {
            let Some(idle) = state.idle.pop_front() else {
                break;
            };
            if idle.give.is_closed() {
                continue;
            }
            if let Some(job) = state.queue.pop_front() {
                self.assign(state, job, idle);
            }
        }
        let starting = state
            .instances
            .values()
            .filter(|instance| !instance.up && !instance.stopping)
            .count();
        let room = self
            .inner
            .config
            .concurrency
            .saturating_sub(state.instances.len());
        let wanted = state.queue.len().saturating_sub(starting).min(room);
        if self.inner.config.program.is_some() && !state.closing {
            for _ in 0..wanted {
                state.last_instance += 1;
                let id = state.last_instance;
                state.instances.insert(id, self.start(id));
            }
        }
        drop(guard);
        self.notify();
    }

    fn assign(&self, state: &mut State, job: Job, idle: Idle) {
        let timeout = self.inner.config.timeout;
        let started_ms = times::epoch_ms();
        let assignment = Assignment {
            request_id: job.request_id.clone(),
            payload: job.payload.clone(),
            deadline_ms: started_ms.saturating_add(times::millis(timeout)),
        };
        if idle.give.send(assignment).is_err() {
            // The instance closed its connection in the meantime: the job stays first in the queue.
            state.queue.push_front(job);
            return;
        }
        let mut cold_start = false;
        if let Some(instance) = state.instances.get_mut(&idle.instance) {
            cold_start = !instance.warm;
            instance.warm = true;
            instance.current = Some(job.request_id.clone());
        }
        let (request_id, attempt) = (job.request_id.clone(), job.attempt);
        let running = Running {
            job,
            instance: idle.instance,
            cold_start,
            started: Instant::now(),
            started_ms,
        };
        state.running.insert(request_id.clone(), running);
        let lambda = self.clone();
        self.inner.runtime.spawn(async move {
            tokio::time::sleep(timeout).await;
            lambda.time_out(&request_id, attempt);
        });
    }

    /// An instance asks for its next event.
    pub(crate) fn next(&self, instance: u64) -> oneshot::Receiver<Assignment> {
        let (give, take) = oneshot::channel();
        {
            let mut state = lock(&self.inner.state);
            let mut refused = state.closing;
            if let Some(instance) = state.instances.get_mut(&instance) {
                instance.up = true;
                refused |= instance.stopping;
            }
            if !refused {
                state.idle.push_back(Idle { instance, give });
            }
        }
        self.dispatch();
        take
    }

    /// An instance couldn't start. Its process is expected to end; the first event in the queue fails with it.
    pub(crate) fn init_error(&self, instance: u64, error: Value) {
        let known = match lock(&self.inner.state).instances.get_mut(&instance) {
            Some(instance) => {
                instance.init_error = Some(error.clone());
                true
            }
            None => false,
        };
        if !known {
            tracing::warn!(%error, "a function started elsewhere failed to start");
        }
    }

    /// Ends an attempt; `false` if no such invocation runs.
    pub(crate) fn finish(
        &self,
        request_id: &str,
        outcome: Outcome,
        response: Value,
        ended: Instant,
    ) -> bool {
        let mut guard = lock(&self.inner.state);
        let state = &mut *guard;
        let Some(running) = state.running.remove(request_id) else {
            return false;
        };
        if let Some(instance) = state.instances.get_mut(&running.instance) {
            instance.last = instance.current.take();
        }
        let took = ended.saturating_duration_since(running.started);
        state.log.push(Invocation {
            request_id: request_id.to_owned(),
            attempt: running.job.attempt,
            asynchronous: running.job.reply.is_none(),
            started_ms: running.started_ms,
            took_us: times::micros(took),
            outcome,
            response: response.clone(),
            cold_start: running.cold_start,
            instance: running.instance,
            payload: running.job.payload.clone(),
        });
        self.complete(
            state,
            running.job,
            outcome,
            response,
            took,
            running.cold_start,
            running.instance,
        );
        drop(guard);
        self.notify();
        true
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the facts of one ended attempt; a struct for one caller would say less"
    )]
    fn complete(
        &self,
        state: &mut State,
        mut job: Job,
        outcome: Outcome,
        response: Value,
        duration: Duration,
        cold_start: bool,
        instance: u64,
    ) {
        self.trace();
        let failed = outcome != Outcome::Success;
        if let Some(reply) = job.reply.take() {
            let function_error = failed.then(|| "Unhandled".to_owned());
            let request_id = job.request_id;
            // An error means that the caller no longer waits.
            let _ = reply.send(InvocationResult {
                request_id,
                payload: response,
                function_error,
                duration,
                cold_start,
                instance,
            });
            return;
        }
        if !failed {
            self.send_record(state, &job, outcome, "Success", &response);
            return;
        }
        let wait = self.inner.config.retry_waits.get(job.attempt - 1).copied();
        let reason = match wait {
            None => "RetriesExhausted",
            Some(wait) if job.since.elapsed() + wait > self.inner.config.max_event_age => {
                "EventAgeExceeded"
            }
            Some(wait) => {
                state.waiting += 1;
                job.attempt += 1;
                let lambda = self.clone();
                self.inner.runtime.spawn(async move {
                    tokio::time::sleep(wait).await;
                    {
                        let mut state = lock(&lambda.inner.state);
                        state.waiting -= 1;
                        state.queue.push_back(job);
                    }
                    lambda.dispatch();
                });
                return;
            }
        };
        self.send_record(state, &job, outcome, reason, &response);
        state.dead.push(DeadLetter {
            request_id: job.request_id,
            payload: job.payload,
            reason: reason.to_owned(),
            attempts: job.attempt,
            error: response,
        });
    }

    fn time_out(&self, request_id: &str, attempt: usize) {
        let instance = {
            let state = lock(&self.inner.state);
            state
                .running
                .get(request_id)
                .filter(|running| running.job.attempt == attempt)
                .map(|running| running.instance)
        };
        let Some(instance) = instance else { return };
        let seconds = self.inner.config.timeout.as_secs_f64();
        let error = json!({
            "errorType": "Sandbox.Timedout",
            "errorMessage": format!("RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds"),
        });
        // Stopped first, so that it gets no more work.
        lock(&self.inner.state).stop(instance);
        self.finish(request_id, Outcome::TimedOut, error, Instant::now());
    }

    /// A process ended. The event that it ran fails; if it never came up, the first event in the queue fails.
    pub(super) fn ended(&self, id: u64, status: &str) {
        let mut state = lock(&self.inner.state);
        let Some(instance) = state.instances.remove(&id) else {
            return;
        };
        state.idle.retain(|idle| idle.instance != id);
        let first_in_line = if instance.up || instance.stopping || state.closing {
            None
        } else {
            state.queue.pop_front()
        };
        if let Some(job) = first_in_line {
            let running = Running {
                instance: id,
                cold_start: true,
                started: Instant::now(),
                started_ms: times::epoch_ms(),
                job,
            };
            let request_id = running.job.request_id.clone();
            state.running.insert(request_id.clone(), running);
            drop(state);
            self.finish(
                &request_id,
                Outcome::Crashed,
                instance
                    .init_error
                    .unwrap_or_else(|| exited(&request_id, status)),
                Instant::now(),
            );
        } else {
            drop(state);
            if let Some(request_id) = instance.current {
                self.finish(
                    &request_id,
                    Outcome::Crashed,
                    exited(&request_id, status),
                    Instant::now(),
                );
            }
        }
        self.dispatch();
    }

    /// Waits until an instance's output so far is read, so that its lines belong to the right invocation.
    pub(crate) async fn output_read(&self, instance: u64) {
        let flush = match lock(&self.inner.state).instances.get(&instance) {
            Some(instance) => instance.flush.clone(),
            None => return,
        };
        // Lets the runtime poll the pipes first.
        tokio::task::yield_now().await;
        for reader in flush {
            let (done, caught_up) = oneshot::channel();
            if reader.send(done).is_ok() {
                // An error means that the pipe is closed and all output is read.
                let _ = caught_up.await;
            }
        }
    }

    /// Keeps a line of output, and passes it to the sink.
    pub(super) fn log_line(&self, instance: u64, stream: &str, text: String) {
        let mut state = lock(&self.inner.state);
        let there = state.instances.get(&instance);
        if there.is_some_and(|instance| !instance.logs) || !self.keeps_log(instance) {
            return;
        }
        let request_id =
            there.and_then(|instance| instance.current.clone().or_else(|| instance.last.clone()));
        let line = LogLine {
            time_ms: times::epoch_ms(),
            instance,
            request_id,
            stream: stream.to_owned(),
            text,
        };
        state.lines.push(line.clone());
        drop(state);
        match &self.inner.config.log {
            LogSink::Capture => {}
            LogSink::Stderr => eprintln!("[function {instance}] {}", line.text),
            LogSink::Call(call) => call(&line),
        }
    }

    /// Starts no more instances and kills the running ones.
    pub(crate) fn close(&self) {
        {
            let mut state = lock(&self.inner.state);
            state.closing = true;
            state.queue.clear();
            state.idle.clear();
        }
        self.kill_instances();
    }

    pub(crate) fn has_processes(&self) -> bool {
        !lock(&self.inner.state).instances.is_empty()
    }
}

fn exited(request_id: &str, status: &str) -> Value {
    json!({
        "errorType": "Runtime.ExitError",
        "errorMessage": format!("RequestId: {request_id} Error: Runtime exited with error: {status}"),
    })
}
