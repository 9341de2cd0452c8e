//! The cloud as a test holds it: set-up, dials, hooks, the call journal, the trail.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;

use crate::bridge::Bridge;
use crate::dials::{Bucket, BucketLevel, Dials, Fault, FaultKind, take_fault};
use crate::ec2::world::{Peering, World};
use crate::ec2::{self, Answer, Ctx, Ec2Error, Params};
use crate::estate::Estate;
use crate::identity::{Caller, Identity};
use crate::journal::{Call, Journal};
use crate::lock::lock;
use crate::policy::Iam;
use crate::{ids, trail};

/// A closure that runs right before a call.
type Hook = Box<dyn FnOnce(&Cloud) + Send>;

/// Shared handle to the cloud; clones are the same cloud.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
}

struct Inner {
    account: String,
    region: String,
    world: Mutex<World>,
    dials: Mutex<DialState>,
    journal: Mutex<Journal>,
    estate: Mutex<Estate>,
    identities: Mutex<BTreeMap<String, Identity>>,
    hooks: Mutex<Vec<(String, Hook)>>,
    records: Mutex<Vec<Value>>,
    bridge: Bridge,
    iam: Iam,
}

struct DialState {
    dials: Dials,
    levels: HashMap<(String, String, String), BucketLevel>,
    rng: fastrand::Rng,
}

/// What the dials do to a call.
#[derive(Debug)]
pub(crate) enum Decision {
    Proceed,
    Refuse {
        refusal: Ec2Error,
        takes_effect: bool,
    },
    DropConnection {
        takes_effect: bool,
    },
    KeepSilent {
        takes_effect: bool,
    },
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud")
            .field("account", &self.inner.account)
            .field("region", &self.inner.region)
            .finish()
    }
}

impl Cloud {
    pub(crate) fn new(account: String, region: String, bridge: Bridge, iam: Iam) -> Self {
        let state = DialState {
            dials: Dials::default(),
            levels: HashMap::new(),
            rng: fastrand::Rng::with_seed(0),
        };
        let inner = Inner {
            account,
            region,
            world: Mutex::default(),
            dials: Mutex::new(state),
            journal: Mutex::default(),
            estate: Mutex::default(),
            identities: Mutex::default(),
            hooks: Mutex::default(),
            records: Mutex::default(),
            bridge,
            iam,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The account of callers that assumed no role.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.inner.account
    }

    /// The Region of in-process calls.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.inner.region
    }

    /// What the roles' policies allowed and refused.
    #[must_use]
    pub fn iam(&self) -> &Iam {
        &self.inner.iam
    }

    /// Where events go: delay, duplicates, loss.
    #[must_use]
    pub fn bridge(&self) -> &Bridge {
        &self.inner.bridge
    }

    /// The current dials; counts of faults and stale describes go down as they are used.
    #[must_use]
    pub fn dials(&self) -> Dials {
        lock(&self.inner.dials).dials.clone()
    }

    /// Sets all dials; token buckets start full.
    pub fn set_dials(&self, dials: Dials) {
        self.adjust(|now| *now = dials);
    }

    /// Changes some dials; token buckets start full again if they or the seed change.
    ///
    /// Returns the closure's result.
    pub fn adjust<R>(&self, change: impl FnOnce(&mut Dials) -> R) -> R {
        let mut state = lock(&self.inner.dials);
        let before = (state.dials.throttles.clone(), state.dials.seed);
        let result = change(&mut state.dials);
        if before != (state.dials.throttles.clone(), state.dials.seed) {
            state.levels.clear();
            state.rng = fastrand::Rng::with_seed(state.dials.seed);
        }
        result
    }

    /// The resources around the function.
    #[must_use]
    pub fn estate(&self) -> Estate {
        lock(&self.inner.estate).clone()
    }

    /// Replaces the resources around the function.
    pub fn set_estate(&self, estate: Estate) {
        *lock(&self.inner.estate) = estate;
    }

    /// Changes some of the resources around the function.
    pub fn adjust_estate(&self, change: impl FnOnce(&mut Estate)) {
        change(&mut lock(&self.inner.estate));
    }

    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        self.adjust(|dials| dials.faults.push(fault));
    }

    /// Runs a closure once, right before the next call of an action, such as another client's change.
    ///
    /// Of several hooks for one action, each call runs one, in order.
    pub fn before(&self, action: &str, hook: impl FnOnce(&Cloud) + Send + 'static) {
        lock(&self.inner.hooks).push((action.to_owned(), Box::new(hook)));
    }

    /// Assigns an access key id to a principal.
    pub fn register(&self, access_key: &str, identity: Identity) {
        lock(&self.inner.identities).insert(access_key.to_owned(), identity);
    }

    /// Connects two VPCs of one Region, of any accounts, by an active peering connection, and returns its id.
    pub fn peer(&self, one_vpc: &str, other_vpc: &str) -> String {
        let id = ids::resource("pcx");
        let peering = Peering {
            id: id.clone(),
            vpcs: [one_vpc.to_owned(), other_vpc.to_owned()],
        };
        lock(&self.inner.world).peerings.push(peering);
        id
    }

    /// The journal.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.inner.journal).calls.clone()
    }

    /// How often an action was called.
    #[must_use]
    pub fn count(&self, action: &str) -> usize {
        lock(&self.inner.journal)
            .calls
            .iter()
            .filter(|call| call.action == action)
            .count()
    }

    /// Empties the journal; sequence numbers go on.
    pub fn clear_calls(&self) {
        lock(&self.inner.journal).calls.clear();
    }

    /// CloudTrail's records so far, oldest first.
    #[must_use]
    pub fn records(&self) -> Vec<Value> {
        lock(&self.inner.records).clone()
    }

    /// Adds a record to the trail and sends it through EventBridge, as if AWS had written it. EventBridge gets it only while a
    /// trail is logging and an event rule is enabled.
    pub fn emit(&self, record: Value) {
        lock(&self.inner.records).push(record.clone());
        if self.estate().delivers_events() {
            self.inner.bridge.record(record);
        }
    }

    pub(crate) fn open_call(&self, call: Call) -> u64 {
        lock(&self.inner.journal).open(call)
    }

    pub(crate) fn close_call(
        &self,
        sequence: u64,
        outcome: &str,
        status: Option<u16>,
        took_us: u64,
    ) {
        lock(&self.inner.journal).close(sequence, outcome, status, took_us);
    }

    /// The identity behind an access key; an unknown key becomes an IAM user of the default account.
    pub(crate) fn identify(&self, access_key: &str) -> Identity {
        let mut identities = lock(&self.inner.identities);
        identities
            .entry(access_key.to_owned())
            .or_insert_with(|| Identity::user(&self.inner.account, "local"))
            .clone()
    }

    pub(crate) fn run_hook(&self, action: &str) {
        let hook = {
            let mut hooks = lock(&self.inner.hooks);
            hooks
                .iter()
                .position(|(name, _)| name == action)
                .map(|index| hooks.remove(index))
        };
        if let Some((_, hook)) = hook {
            hook(self);
        }
    }

    /// How long a call waits before it is handled.
    pub(crate) fn latency(&self, action: &str) -> std::time::Duration {
        let mut state = lock(&self.inner.dials);
        let latency = state
            .dials
            .latency
            .get(action)
            .or_else(|| state.dials.latency.get("*"))
            .copied();
        let latency = latency.unwrap_or_default();
        let jitter = if latency.jitter_ms == 0 {
            0
        } else {
            state.rng.u64(0..=latency.jitter_ms)
        };
        std::time::Duration::from_millis(latency.fixed_ms + jitter)
    }

    /// Whether to throttle, fail or deny a call; checked in this order.
    pub(crate) fn decide(
        &self,
        caller: &Caller,
        action: &str,
        mentions: impl Fn(&str) -> bool,
        denial: impl Fn(&Dials) -> Option<Ec2Error>,
    ) -> Decision {
        let mut guard = lock(&self.inner.dials);
        let state = &mut *guard;
        let bucket: Option<Bucket> = state
            .dials
            .throttles
            .get(action)
            .or_else(|| state.dials.throttles.get("*"))
            .copied();
        if let Some(bucket) = bucket {
            let key = (
                caller.identity.account.clone(),
                caller.region.clone(),
                action.to_owned(),
            );
            let fill = state
                .levels
                .entry(key)
                .or_insert_with(|| BucketLevel::full(bucket));
            if !fill.take(bucket, Instant::now()) {
                return Decision::Refuse {
                    refusal: Ec2Error::throttled(),
                    takes_effect: false,
                };
            }
        }
        if let Some(fault) = take_fault(
            &mut state.dials.faults,
            action,
            &caller.identity.arn,
            mentions,
            &mut state.rng,
        ) {
            let takes_effect = fault.takes_effect;
            return match fault.kind {
                FaultKind::Error {
                    code,
                    message,
                    status,
                } => Decision::Refuse {
                    refusal: Ec2Error::new(code, message).with_status(status),
                    takes_effect,
                },
                FaultKind::DropConnection => Decision::DropConnection { takes_effect },
                FaultKind::Silence => Decision::KeepSilent { takes_effect },
            };
        }
        match denial(&state.dials) {
            Some(refusal) => Decision::Refuse {
                refusal,
                takes_effect: false,
            },
            None => Decision::Proceed,
        }
    }

    /// Carries out an EC2 action, without faults and without a record.
    pub(crate) fn run_ec2(
        &self,
        caller: &Caller,
        action: &str,
        params: &Params,
    ) -> Result<Answer, Ec2Error> {
        let dry_run = params.flag("DryRun")?;
        let mut state = lock(&self.inner.dials);
        let mut stale_describes = std::mem::take(&mut state.dials.stale_describes);
        let mut world = lock(&self.inner.world);
        let mut ctx = Ctx {
            world: &mut world,
            account: &caller.identity.account,
            region: &caller.region,
            dials: &state.dials,
            stale_describes: &mut stale_describes,
        };
        let result = if dry_run {
            // Permission was checked before; a dry run checks nothing else (EC2 API Reference, `DryRun`).
            Err(Ec2Error::new(
                "DryRunOperation",
                "Request would have succeeded, but DryRun flag is set.",
            )
            .with_status(412))
        } else {
            ec2::call(&mut ctx, action, params)
        };
        drop(world);
        state.dials.stale_describes = stale_describes;
        result
    }

    /// Ids and notation of a group's current inbound rules.
    pub(crate) fn inbound(
        &self,
        account: &str,
        region: &str,
        group: &str,
    ) -> Vec<(String, String)> {
        let group = lock(&self.inner.world).group(account, region, group);
        let rules = group
            .iter()
            .flat_map(|group| &group.rules)
            .filter(|rule| !rule.key.egress);
        rules
            .map(|rule| (rule.id.clone(), rule.key.to_string()))
            .collect()
    }

    /// Records a changing call and sends the record to EventBridge.
    pub(crate) fn trail(
        &self,
        caller: &Caller,
        action: &str,
        params: &Params,
        request_id: &str,
        result: &Result<Answer, Ec2Error>,
    ) {
        if ec2::is_mutating(action)
            && !matches!(result, Err(refusal) if refusal.code == "InvalidAction")
        {
            self.emit(trail::record(caller, action, params, request_id, result));
        }
    }
}
