//! A thread that looks at a group every few milliseconds, whatever anybody claims about it, and counts the events that
//! have reached the function.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rulekeeper_local::{Cloud, Ec2, Lambda, Stack};

/// Microseconds since the Unix epoch, so that our clock and the journal's can be compared.
pub type Moment = u64;

/// The present.
pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    micros(since.unwrap_or_default())
}

/// A duration as a difference of moments.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What the thread sees.
#[derive(Debug)]
pub enum Sighting {
    /// Rules that the group had at the last look.
    Gone(Vec<String>),
    /// Rules that it had not.
    Back(Vec<String>),
    /// So many events have been handed to the function since the stack was started.
    Delivered(usize),
}

/// The thread, which ends when this is dropped.
#[derive(Debug)]
pub struct Probe {
    sightings: mpsc::Receiver<(Moment, Sighting)>,
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Probe {
    /// Starts to look; what is there at this moment is not told.
    pub fn start(stack: &Stack, group: &str, look_every: Duration) -> Self {
        let (tell, sightings) = mpsc::channel();
        let ec2 = stack.cloud().ec2();
        let mut look = Look {
            cloud: stack.cloud().clone(),
            lambda: stack.lambda().clone(),
            group: group.to_owned(),
            rules: ec2.rules(group).into_iter().collect(),
            ec2,
            delivered: delivered(stack.cloud(), stack.lambda()),
            last: now(),
            tell,
        };
        let enough = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&enough);
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                look.once();
                std::thread::sleep(look_every);
            }
        });
        Self {
            sightings,
            enough,
            thread: Some(thread),
        }
    }

    /// What has been seen since the last call.
    pub fn sightings(&self) -> Vec<(Moment, Sighting)> {
        self.sightings.try_iter().collect()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // An error means that the thread panicked, which it has told by itself.
            let _ = thread.join();
        }
    }
}

/// The thread's side.
struct Look {
    cloud: Cloud,
    ec2: Ec2,
    lambda: Lambda,
    group: String,
    rules: BTreeSet<String>,
    delivered: usize,
    last: Moment,
    tell: mpsc::Sender<(Moment, Sighting)>,
}

impl Look {
    fn once(&mut self) {
        let rules: BTreeSet<String> = self.ec2.rules(&self.group).into_iter().collect();
        let delivered = delivered(&self.cloud, &self.lambda);
        // A rule is told of no earlier than the call that made it; an event no later than what came of it.
        let (before, at) = (self.last, now());
        self.last = at;
        let gone: Vec<String> = self.rules.difference(&rules).cloned().collect();
        let back: Vec<String> = rules.difference(&self.rules).cloned().collect();
        self.rules = rules;
        // In this order, because no gap was seen.
        if !back.is_empty() {
            self.tell(at, Sighting::Back(back));
        }
        if !gone.is_empty() {
            self.tell(at, Sighting::Gone(gone));
        }
        if delivered > self.delivered {
            self.delivered = delivered;
            self.tell(before, Sighting::Delivered(delivered));
        }
    }

    fn tell(&self, at: Moment, sighting: Sighting) {
        // An error means that nobody looks on any more.
        let _ = self.tell.send((at, sighting));
    }
}

/// How many events have left the bridge. Once an event shows in the log it is counted as under way, until it arrives.
pub fn delivered(cloud: &Cloud, lambda: &Lambda) -> usize {
    let log = cloud.bridge().log();
    let sent = log.iter().filter(|event| event.fate == "sent").count();
    sent.saturating_sub(lambda.load().under_way)
}
