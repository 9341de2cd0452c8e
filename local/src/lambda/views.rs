//! Read access: past invocations, output, load.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{DeadLetter, Invocation, Lambda, Load, LogLine, NotIdle};
use crate::lock::lock;

impl Lambda {
    /// Every attempt that ended, in the order of their ends.
    #[must_use]
    pub fn invocations(&self) -> Vec<Invocation> {
        lock(&self.inner.state).log.clone()
    }

    /// Events that were given up.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        lock(&self.inner.state).dead.clone()
    }

    /// Everything the function wrote.
    #[must_use]
    pub fn logs(&self) -> Vec<LogLine> {
        lock(&self.inner.state).lines.clone()
    }

    /// What the function wrote during one invocation.
    #[must_use]
    pub fn logs_of(&self, request_id: &str) -> Vec<LogLine> {
        let state = lock(&self.inner.state);
        state
            .lines
            .iter()
            .filter(|line| line.request_id.as_deref() == Some(request_id))
            .cloned()
            .collect()
    }

    /// Forgets attempts, given-up events and log lines.
    pub fn clear(&self) {
        let mut state = lock(&self.inner.state);
        state.log.clear();
        state.dead.clear();
        state.lines.clear();
        state.records.clear();
    }

    /// Ids of the processes that are up.
    #[must_use]
    pub fn instances(&self) -> Vec<u64> {
        lock(&self.inner.state)
            .instances
            .iter()
            .filter(|(_, instance)| instance.up)
            .map(|(id, _)| *id)
            .collect()
    }

    /// The events that are not done yet.
    #[must_use]
    pub fn load(&self) -> Load {
        let state = lock(&self.inner.state);
        Load {
            queued: state.queue.len(),
            running: state.running.len(),
            waiting: state.waiting,
            under_way: self.inner.under_way.load(Ordering::SeqCst),
        }
    }

    /// Waits until no event is queued, delayed, running or waiting for a retry. Held events don't count.
    ///
    /// # Errors
    /// If events are left when the time is over.
    pub async fn wait_idle(&self, within: Duration) -> Result<(), NotIdle> {
        let lambda = self.clone();
        let waiting = async move {
            let mut changed = lambda.inner.changed.subscribe();
            while lambda.load() != Load::default() {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        // The wait runs on the stack's runtime, so that callers on other runtimes can await it.
        let finished = self
            .inner
            .runtime
            .spawn(async move { tokio::time::timeout(within, waiting).await.is_ok() });
        match finished.await {
            Ok(true) => Ok(()),
            _ => Err(NotIdle { load: self.load() }),
        }
    }
}
