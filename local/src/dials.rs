//! Dials: which delays, errors and stale reads the cloud has. They can be set in process and, as the same JSON, at `/_local/dials`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// All dials. By default there is no delay and no error, and reads are current.
///
/// Actions are named as in the APIs (`AuthorizeSecurityGroupIngress`, `GetItem`, `AssumeRole`); `*` stands for all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dials {
    /// EC2's describe calls answer from the state this many milliseconds ago.
    ///
    /// Set it before the changes that reads are to see late: older states are kept only while it is set.
    pub staleness_ms: u64,
    /// By group id: how many of the next describes of that group answer with its state before its last change.
    pub stale_describes: BTreeMap<String, u32>,
    /// Token buckets by action; each account and Region has its own (EC2 Developer Guide, "Request throttling").
    pub throttles: BTreeMap<String, Bucket>,
    /// Errors, dropped connections and missing answers to come, in order; a call gets the first that matches it.
    pub faults: Vec<Fault>,
    /// Extra time a call takes, by action.
    pub latency: BTreeMap<String, Latency>,
    /// Seed of the jitter, and of faults that hit a share of the calls.
    pub seed: u64,
    /// Actions that nobody may call: EC2 answers `UnauthorizedOperation`, the others their own code. `CreateTags` also denies tags on creation.
    pub denied: BTreeSet<String>,
    /// Rules per group, direction and address family.
    pub quota: u32,
    /// Before each call of this DynamoDB action, or `*`, the items of its tables whose `expires_at` is over are deleted.
    /// Without it they stay, as at AWS for up to a few days (DynamoDB Developer Guide, "Using time to live").
    pub expire_before: Option<String>,
    /// Tag keys that a tag policy refuses (`TagPolicyViolation`).
    pub refused_tag_keys: BTreeSet<String>,
    /// Leave `revokedSecurityGroupRuleSet` out of answers and records, as before 2024.
    pub omit_revoked_rule_set: bool,
    /// Most entries on a page of a describe call, even if the call asks for more.
    pub page_limit: Option<usize>,
}

impl Default for Dials {
    fn default() -> Self {
        Self {
            staleness_ms: 0,
            stale_describes: BTreeMap::new(),
            throttles: BTreeMap::new(),
            faults: Vec::new(),
            latency: BTreeMap::new(),
            seed: 0,
            denied: BTreeSet::new(),
            // VPC User Guide, quotas.
            quota: 60,
            expire_before: None,
            refused_tag_keys: BTreeSet::new(),
            omit_revoked_rule_set: false,
            page_limit: None,
        }
    }
}

/// The code of a cancelled transaction.
pub(crate) const CANCELLED: &str = "TransactionCanceledException";

impl Dials {
    pub(crate) fn staleness(&self) -> Duration {
        Duration::from_millis(self.staleness_ms)
    }
}

/// A token bucket: it holds up to `burst` tokens, and gains `per_second`; a call takes one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Most tokens, and the tokens at the start.
    pub burst: f64,
    /// Tokens gained per second.
    #[serde(default)]
    pub per_second: f64,
}

/// Extra time of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// Extra time of every call, in milliseconds.
    pub fixed_ms: u64,
    /// Most random extra time on top, in milliseconds, evenly spread.
    pub jitter_ms: u64,
}

/// A fault for calls of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The action, or `*`.
    pub action: String,
    /// How many calls it hits; `null` for all from now on.
    #[serde(default = "once")]
    pub count: Option<u32>,
    /// How many matching calls pass first.
    #[serde(default)]
    pub after: u32,
    /// Only calls that mention this id (a group, say) anywhere in their parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mentions: Option<String>,
    /// Only calls by principals whose ARN contains this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The share of the matching calls that it hits, in percent; the seed of the dials says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// Whether the call takes effect nevertheless, as calls with a server error may.
    #[serde(default)]
    pub takes_effect: bool,
    /// What the caller sees.
    #[serde(flatten)]
    pub kind: FaultKind,
}

fn once() -> Option<u32> {
    Some(1)
}

/// What the caller sees of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// An error answer.
    Error {
        /// The code, such as `InternalError`.
        code: String,
        /// The text.
        #[serde(default)]
        message: String,
        /// The HTTP status.
        #[serde(default = "bad_request")]
        status: u16,
    },
    /// The connection closes without an answer.
    DropConnection,
    /// The connection stays open and no answer comes.
    Silence,
}

fn bad_request() -> u16 {
    400
}

impl Fault {
    /// An error for the next call of an action.
    #[must_use]
    pub fn error(action: &str, code: &str, status: u16) -> Self {
        let kind = FaultKind::Error {
            code: code.to_owned(),
            message: format!("{code} (injected)"),
            status,
        };
        Self::of(action, kind)
    }

    /// A cancelled transaction (TransactWriteItems), with the code of each part's reason: `None`, `TransactionConflict`,
    /// `ThrottlingError`, `ProvisionedThroughputExceeded`, `ConditionalCheckFailed` and others.
    #[must_use]
    pub fn cancelled(reasons: &[&str]) -> Self {
        let message = format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            reasons.join(", ")
        );
        let kind = FaultKind::Error {
            code: CANCELLED.to_owned(),
            message,
            status: 400,
        };
        Self::of("TransactWriteItems", kind)
    }

    /// A closed connection for the next call of an action.
    #[must_use]
    pub fn drop_connection(action: &str) -> Self {
        Self::of(action, FaultKind::DropConnection)
    }

    /// No answer for the next call of an action.
    #[must_use]
    pub fn silence(action: &str) -> Self {
        Self::of(action, FaultKind::Silence)
    }

    fn of(action: &str, kind: FaultKind) -> Self {
        let action = action.to_owned();
        Self {
            action,
            count: Some(1),
            after: 0,
            mentions: None,
            principal: None,
            percent: None,
            takes_effect: false,
            kind,
        }
    }

    /// The same for this many calls.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    /// The same for every call from now on.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.count = None;
        self
    }

    /// The same after this many matching calls.
    #[must_use]
    pub fn after(mut self, calls: u32) -> Self {
        self.after = calls;
        self
    }

    /// The same only for calls that mention an id.
    #[must_use]
    pub fn mentioning(mut self, id: &str) -> Self {
        self.mentions = Some(id.to_owned());
        self
    }

    /// The same only for callers whose ARN contains a text.
    #[must_use]
    pub fn by(mut self, principal: &str) -> Self {
        self.principal = Some(principal.to_owned());
        self
    }

    /// The same for this share of the matching calls, in percent.
    #[must_use]
    pub fn percent(mut self, share: u8) -> Self {
        self.percent = Some(share);
        self
    }

    /// The same, but the call takes effect.
    #[must_use]
    pub fn taking_effect(mut self) -> Self {
        self.takes_effect = true;
        self
    }
}

/// The first fault that matches a call; counts it down and removes it at zero.
pub(crate) fn take_fault(
    faults: &mut Vec<Fault>,
    action: &str,
    principal: &str,
    mentions: impl Fn(&str) -> bool,
    rng: &mut fastrand::Rng,
) -> Option<Fault> {
    let fits = |fault: &Fault| {
        (fault.action == action || fault.action == "*")
            && fault.count != Some(0)
            && fault
                .principal
                .as_deref()
                .is_none_or(|text| principal.contains(text))
            && fault.mentions.as_deref().is_none_or(&mentions)
    };
    let mut taken = None;
    for fault in faults.iter_mut().filter(|fault| fits(fault)) {
        if fault.after > 0 {
            fault.after -= 1;
            continue;
        }
        if fault.percent.is_some_and(|share| rng.u8(0..100) >= share) {
            continue;
        }
        if let Some(count) = &mut fault.count {
            *count -= 1;
        }
        taken = Some(fault.clone());
        break;
    }
    faults.retain(|fault| fault.count != Some(0));
    taken
}

/// The tokens left in one bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BucketLevel {
    tokens: f64,
    at: Instant,
}

impl BucketLevel {
    pub(crate) fn full(bucket: Bucket) -> Self {
        Self {
            tokens: bucket.burst,
            at: Instant::now(),
        }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, bucket: Bucket, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * bucket.per_second;
        self.tokens = (self.tokens + gained).min(bucket.burst);
        self.at = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(faults: &mut Vec<Fault>, action: &str, principal: &str, group: &str) -> Option<Fault> {
        let mut rng = fastrand::Rng::with_seed(7);
        take_fault(faults, action, principal, |id| id == group, &mut rng)
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let bucket = Bucket {
            burst: 2.0,
            per_second: 10.0,
        };
        let mut level = BucketLevel::full(bucket);
        let start = Instant::now();
        assert!(
            level.take(bucket, start) && level.take(bucket, start) && !level.take(bucket, start)
        );
        assert!(level.take(bucket, start + Duration::from_millis(150)));
        assert!(!level.take(bucket, start + Duration::from_millis(151)));
    }

    #[test]
    fn faults_wait_count_down_and_leave() {
        let mut faults = vec![Fault::error("A", "X", 500).after(1).times(2)];
        let hits: Vec<_> = (0..4)
            .map(|_| take(&mut faults, "A", "", "").is_some())
            .collect();
        assert_eq!(hits, [false, true, true, false]);
        assert!(faults.is_empty());
    }

    #[test]
    fn faults_are_picky_about_action_principal_and_ids() {
        let mut faults = vec![Fault::silence("A").by("role/x").mentioning("sg-1")];
        assert!(take(&mut faults, "B", "role/x", "sg-1").is_none());
        assert!(take(&mut faults, "A", "role/y", "sg-1").is_none());
        assert!(take(&mut faults, "A", "role/x", "sg-2").is_none());
        assert!(take(&mut faults, "A", "role/x", "sg-1").is_some());
    }

    #[test]
    fn a_share_of_the_calls_is_hit_and_the_same_with_the_same_seed() {
        let hits = |seed| -> Vec<bool> {
            let mut faults = vec![Fault::error("A", "X", 500).always().percent(20)];
            let mut rng = fastrand::Rng::with_seed(seed);
            let calls = 0..1_000;
            calls
                .map(|_| take_fault(&mut faults, "A", "", |_| false, &mut rng).is_some())
                .collect()
        };
        let count = hits(1).into_iter().filter(|hit| *hit).count();
        assert!((150..250).contains(&count), "{count}");
        assert_eq!(hits(1), hits(1));
        assert_ne!(hits(1), hits(2));
    }

    #[test]
    fn json_of_a_fault_needs_little() {
        let json = r#"{"faults":[{"action":"GetItem","kind":"error","code":"InternalServerError","status":500}]}"#;
        let dials: Dials = serde_json::from_str(json).expect("dials");
        assert_eq!(dials.faults[0].count, Some(1));
        assert_eq!(dials.quota, 60);
    }
}
