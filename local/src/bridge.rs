//! EventBridge: wraps records in its envelope and delivers them to the function, perhaps late, twice, out of order or never.
//!
//! Delivery is best effort, without order or a promised latency: EventBridge User Guide ("Events from AWS services via CloudTrail") and the facts collected in the crate's documentation.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::ids;
use crate::lambda::Lambda;
use crate::lock::lock;
use crate::times;

/// Records larger than this are not sent to EventBridge (CloudTrail User Guide).
const RECORD_BYTES_MAX: usize = 256 * 1024;

/// How events are delivered to the function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// Names of the CloudTrail events that the rule matches.
    pub event_names: BTreeSet<String>,
    /// Skip failed calls, as a pattern with `{"errorCode": [{"exists": false}]}` does.
    pub drop_failed: bool,
    /// Time from the call to the function's queue, in milliseconds.
    pub delay_ms: u64,
    /// Most extra delay, in milliseconds; the extra is random, evenly spread.
    pub jitter_ms: u64,
    /// Number of extra copies of each event, each with its own delay.
    pub duplicates: u32,
    /// Collect events for this many milliseconds, then send them shuffled; 0 turns it off.
    pub reorder_window_ms: u64,
    /// Lose this many of the next events.
    pub lose_next: u32,
    /// Lose every Nth event; 0 for none.
    pub lose_every: u32,
    /// Lose this fraction of the events, from 0 to 1.
    pub lose_fraction: f64,
    /// Hold events until they are released.
    pub hold: bool,
    /// Seed of jitter, shuffling and loss.
    pub seed: u64,
}

impl Default for Delivery {
    fn default() -> Self {
        let names = [
            "RevokeSecurityGroupIngress",
            "ModifySecurityGroupRules",
            "UpdateSecurityGroupRuleDescriptionsIngress",
            "AuthorizeSecurityGroupIngress",
            "DeleteSecurityGroup",
        ];
        Self {
            event_names: names.map(str::to_owned).into(),
            drop_failed: false,
            delay_ms: 0,
            jitter_ms: 0,
            duplicates: 0,
            reorder_window_ms: 0,
            lose_next: 0,
            lose_every: 0,
            lose_fraction: 0.0,
            hold: false,
            seed: 0,
        }
    }
}

/// How an event ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivered {
    /// The envelope's id.
    pub id: String,
    /// The CloudTrail event's name, or the detail type.
    pub name: String,
    /// `sent`, `lost`, `held`, `unmatched` or `too large`.
    pub fate: String,
}

/// The event bus and the rule with the function as its target; clones are the same bus.
#[derive(Debug, Clone)]
pub struct Bridge {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    lambda: Lambda,
    state: Mutex<State>,
    hurry: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    delivery: Delivery,
    rng: fastrand::Rng,
    matched: u32,
    held: Vec<Value>,
    window: Vec<Value>,
    log: Vec<Delivered>,
}

impl Bridge {
    pub(crate) fn new(lambda: Lambda) -> Self {
        let state = State {
            delivery: Delivery::default(),
            rng: fastrand::Rng::with_seed(0),
            matched: 0,
            held: Vec::new(),
            window: Vec::new(),
            log: Vec::new(),
        };
        Self {
            inner: Arc::new(Inner {
                lambda,
                state: Mutex::new(state),
                hurry: watch::Sender::new(()),
            }),
        }
    }

    /// The current settings.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        lock(&self.inner.state).delivery.clone()
    }

    /// Replaces the settings; the random sequence and the count for `lose_every` restart.
    pub fn set_delivery(&self, delivery: Delivery) {
        let mut state = lock(&self.inner.state);
        state.rng = fastrand::Rng::with_seed(delivery.seed);
        state.matched = 0;
        state.delivery = delivery;
    }

    /// Changes some settings and returns the closure's result; the random sequence and the count restart.
    pub fn adjust<R>(&self, change: impl FnOnce(&mut Delivery) -> R) -> R {
        let mut delivery = self.delivery();
        let result = change(&mut delivery);
        self.set_delivery(delivery);
        result
    }

    /// Events held by `hold`, oldest first.
    #[must_use]
    pub fn held(&self) -> Vec<Value> {
        lock(&self.inner.state).held.clone()
    }

    /// Sends the held events at these positions, in this order. Other events stay held; unknown positions are ignored. A position may occur twice.
    pub fn release(&self, order: &[usize]) {
        let mut state = lock(&self.inner.state);
        let sent: Vec<_> = order
            .iter()
            .filter_map(|index| state.held.get(*index).cloned())
            .collect();
        let mut index = 0;
        state.held.retain(|_| {
            index += 1;
            !order.contains(&(index - 1))
        });
        drop(state);
        for event in sent {
            self.inner.lambda.invoke_event(event);
        }
    }

    /// Sends all held events in order.
    pub fn release_all(&self) {
        let order: Vec<_> = (0..self.held().len()).collect();
        self.release(&order);
    }

    /// Sends delayed events now, in no particular order. Later events are delayed again.
    pub fn hurry(&self) {
        self.inner.hurry.send_replace(());
    }

    /// How each event ended, so far.
    #[must_use]
    pub fn log(&self) -> Vec<Delivered> {
        lock(&self.inner.state).log.clone()
    }

    /// Sends a scheduled event now, without delay or loss, and returns the envelope.
    pub fn schedule(&self, rule: &str) -> Value {
        let lambda = &self.inner.lambda;
        let (account, region) = (lambda.account(), lambda.region());
        let envelope = json!({
            "version": "0", "id": ids::uuid(), "detail-type": "Scheduled Event", "source": "aws.events",
            "account": account, "time": times::to_the_second(), "region": region,
            "resources": [ids::arn("events", region, account, &format!("rule/{rule}"))], "detail": {},
        });
        lambda.invoke_event(envelope.clone());
        envelope
    }

    /// The envelope around a CloudTrail record: `time` is the record's `eventTime`, `resources` is empty (published events).
    #[must_use]
    pub fn envelope(record: Value) -> Value {
        json!({
            "version": "0", "id": ids::uuid(), "detail-type": "AWS API Call via CloudTrail", "source": "aws.ec2",
            "account": record["recipientAccountId"], "time": record["eventTime"], "region": record["awsRegion"],
            "resources": [], "detail": record,
        })
    }

    /// Takes a record from CloudTrail.
    pub(crate) fn record(&self, record: Value) {
        let name = record["eventName"].as_str().unwrap_or_default().to_owned();
        let failed = !record["errorCode"].is_null();
        let size = record.to_string().len();
        let event = Self::envelope(record);
        let mut guard = lock(&self.inner.state);
        let state = &mut *guard;
        let mut note = |fate: &str| {
            let id = event["id"].as_str().unwrap_or_default().to_owned();
            state.log.push(Delivered {
                id,
                name: name.clone(),
                fate: fate.to_owned(),
            });
        };
        if !state.delivery.event_names.contains(&name) || (failed && state.delivery.drop_failed) {
            return note("unmatched");
        }
        if size > RECORD_BYTES_MAX {
            return note("too large");
        }
        state.matched += 1;
        let every = state.delivery.lose_every;
        let by_chance =
            state.delivery.lose_fraction > 0.0 && state.rng.f64() < state.delivery.lose_fraction;
        if state.delivery.lose_next > 0 {
            state.delivery.lose_next -= 1;
            return note("lost");
        }
        if by_chance || (every > 0 && state.matched.is_multiple_of(every)) {
            return note("lost");
        }
        if state.delivery.hold {
            note("held");
            for _ in 0..=state.delivery.duplicates {
                state.held.push(event.clone());
            }
            return;
        }
        note("sent");
        for _ in 0..=state.delivery.duplicates {
            if state.delivery.reorder_window_ms > 0 {
                state.window.push(event.clone());
                if state.window.len() == 1 {
                    self.close_window_after(Duration::from_millis(
                        state.delivery.reorder_window_ms,
                    ));
                }
            } else {
                let jitter = match state.delivery.jitter_ms {
                    0 => 0,
                    most => state.rng.u64(0..=most),
                };
                self.send_after(
                    Duration::from_millis(state.delivery.delay_ms + jitter),
                    event.clone(),
                );
            }
        }
    }

    fn send_after(&self, delay: Duration, event: Value) {
        if delay.is_zero() {
            self.inner.lambda.invoke_event(event);
            return;
        }
        let lambda = self.inner.lambda.clone();
        let under_way = lambda.under_way();
        let mut hurry = self.inner.hurry.subscribe();
        self.inner.lambda.runtime().spawn(async move {
            // Both ends, the timeout and the signal to hurry, mean: send now.
            let _ = tokio::time::timeout(delay, hurry.changed()).await;
            lambda.invoke_event(event);
            drop(under_way);
        });
    }

    fn close_window_after(&self, delay: Duration) {
        let bridge = self.clone();
        let under_way = self.inner.lambda.under_way();
        self.inner.lambda.runtime().spawn(async move {
            tokio::time::sleep(delay).await;
            let shuffled = {
                let mut guard = lock(&bridge.inner.state);
                let state = &mut *guard;
                let mut window = std::mem::take(&mut state.window);
                state.rng.shuffle(&mut window);
                window
            };
            for event in shuffled {
                bridge.inner.lambda.invoke_event(event);
            }
            drop(under_way);
        });
    }
}
