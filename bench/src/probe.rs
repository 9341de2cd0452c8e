//! A thread that reads a group's rules every few milliseconds, and counts the events that the function got.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rulekeeper_local::{Cloud, Ec2, Lambda, Stack};

use crate::time::{Moment, now};

/// A change that the thread saw.
#[derive(Debug)]
pub enum Change {
    /// Rules that the group no longer has.
    Gone(Vec<String>),
    /// Rules that the group did not have before.
    Back(Vec<String>),
    /// The number of events that the function has got since the stack started.
    Delivered(usize),
}

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub struct Probe {
    changes: mpsc::Receiver<(Moment, Change)>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Probe {
    /// Starts the thread. It reports changes from now on, and not what the group has already.
    pub fn start(stack: &Stack, group: &str, interval: Duration) -> Self {
        let (sender, changes) = mpsc::channel();
        let ec2 = stack.cloud().ec2();
        let mut poll = Poll {
            cloud: stack.cloud().clone(),
            lambda: stack.lambda().clone(),
            group: group.to_owned(),
            rules: ec2.rules(group).into_iter().collect(),
            ec2,
            delivered: delivered(stack.cloud(), stack.lambda()),
            last: now(),
            sender,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                poll.once();
                std::thread::sleep(interval);
            }
        });
        Self {
            changes,
            stop,
            thread: Some(thread),
        }
    }

    /// The changes since the last call.
    pub fn changes(&self) -> Vec<(Moment, Change)> {
        self.changes.try_iter().collect()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // An error means that the thread panicked, and it has printed why.
            let _ = thread.join();
        }
    }
}

/// The state of the thread.
struct Poll {
    cloud: Cloud,
    ec2: Ec2,
    lambda: Lambda,
    group: String,
    rules: BTreeSet<String>,
    delivered: usize,
    last: Moment,
    sender: mpsc::Sender<(Moment, Change)>,
}

impl Poll {
    fn once(&mut self) {
        let rules: BTreeSet<String> = self.ec2.rules(&self.group).into_iter().collect();
        let delivered = delivered(&self.cloud, &self.lambda);
        // A rule gets the time after the call that changed it; an event gets the time before the function acts on it.
        let (before, at) = (self.last, now());
        self.last = at;
        let gone: Vec<String> = self.rules.difference(&rules).cloned().collect();
        let back: Vec<String> = rules.difference(&self.rules).cloned().collect();
        self.rules = rules;
        // Rules that came back are first: the group was never seen without both.
        if !back.is_empty() {
            self.send(at, Change::Back(back));
        }
        if !gone.is_empty() {
            self.send(at, Change::Gone(gone));
        }
        if delivered > self.delivered {
            self.delivered = delivered;
            self.send(before, Change::Delivered(delivered));
        }
    }

    fn send(&self, at: Moment, change: Change) {
        // An error means that the probe is being dropped.
        let _ = self.sender.send((at, change));
    }
}

/// How many events the function has got. The bridge's log has an event from the call on; until it arrives, the event is
/// under way.
pub fn delivered(cloud: &Cloud, lambda: &Lambda) -> usize {
    let log = cloud.bridge().log();
    let sent = log.iter().filter(|event| event.fate == "sent").count();
    sent.saturating_sub(lambda.load().under_way)
}
