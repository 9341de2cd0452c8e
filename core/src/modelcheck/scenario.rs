//! A scenario: who does what to the group, and what may go wrong.

use jiff::{SignedDuration, Timestamp};

use crate::desired::{DesiredRecord, Policy, Principal};
use crate::fakes::{key, record};
use crate::model::{GroupId, RuleKey};

/// A rule of the scenario, by its index in [`Scenario::rules`].
pub(super) type Rule = u8;

/// How long Lambda lets an invocation run, in milliseconds.
pub(super) const INVOCATION_MS: u64 = 30_000;

/// How long [`Do::Rest`] takes: until the state item of a group expires.
pub(super) const REST_MS: u64 = 49 * 3_600_000;

/// The description that [`Do::Describe`] gives.
pub(super) const NEW_TEXT: &str = "new";

/// The model's clock counts milliseconds. It begins in the middle of a second, because events tell whole seconds.
pub(super) fn at(ms: u64) -> Timestamp {
    let start: Timestamp = "2026-11-22T09:30:00.4Z".parse().expect("a time");
    let ms = i64::try_from(ms).expect("some hours at most");
    start + SignedDuration::from_millis(ms)
}

/// The time that an event gives for a time: the start of its second, as in CloudTrail.
pub(super) fn told(ms: u64) -> u64 {
    // The clock begins 400 ms after the start of a second, so it has no time for that start. The event gives 0 instead,
    // which is 400 ms late.
    match (ms + 400) / 1_000 {
        0 => 0,
        seconds => seconds * 1_000 - 400,
    }
}

/// Who changes the group or the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Who {
    /// A followed controller.
    Controller,
    /// Another followed controller.
    Second,
    /// A principal whose revokes are accepted.
    Terraform,
    /// A principal that is not listed, so its revokes are drops.
    Stranger,
    Operator,
}

impl Who {
    pub(super) fn arn(self) -> &'static str {
        match self {
            Self::Controller => "arn:aws:iam::111122223333:role/controller",
            Self::Second => "arn:aws:iam::111122223333:role/second",
            Self::Terraform => "arn:aws:iam::111122223333:role/terraform",
            Self::Stranger => "arn:aws:iam::111122223333:role/stranger",
            Self::Operator => "operator",
        }
    }

    pub(super) fn of_arn(arn: &str) -> Option<Self> {
        let all = [
            Self::Controller,
            Self::Second,
            Self::Terraform,
            Self::Stranger,
            Self::Operator,
        ];
        all.into_iter().find(|who| who.arn() == arn)
    }
}

/// What an event reports: rules with the ids that they had or got.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Did {
    Revoked(Rule, Option<u8>),
    Authorized(Rule, Option<u8>),
    WasRefused(Rule),
    /// An authorize that failed for a passing reason.
    WasThrottled(Rule),
    /// The id, and what it stands for now.
    Modified(u8, Rule),
    Described(u8),
    /// The referenced group was deleted, or not because something depends on it.
    Deleted,
    WasNotDeleted,
}

/// An event that was sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EventSpec {
    pub(super) at: u64,
    pub(super) by: Who,
    pub(super) did: Did,
}

/// What somebody does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Do {
    /// Revoke a rule, if it is live.
    Revoke(Rule),
    /// Revoke a rule as soon as it is live.
    RevokeWhenLive(Rule),
    /// Revoke a rule as soon as it is live and everything before that was handled.
    Insist(Rule),
    /// Authorize a rule. EC2 refuses a rule that is live or references a missing group.
    Authorize(Rule),
    /// Try to authorize a rule, and be throttled.
    TryAuthorize(Rule),
    /// Give the id of a live rule the content of another, if that one is not live.
    Modify(Rule, Rule),
    /// Give a live rule another description.
    Describe(Rule),
    /// Delete the referenced group. EC2 refuses this while a live rule refers to it.
    Delete,
    /// Try to delete the referenced group while something else depends on it.
    TryDelete,
    /// Let two days pass, once everything before that was handled.
    Rest,
    /// Write a record of these rules.
    Apply(Vec<Rule>),
}

/// A step, how long it takes, and how soon after the previous step it must be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) does: Do,
    pub(super) takes_ms: u64,
    pub(super) within_ms: Option<u64>,
}

/// A step that takes a second.
pub(super) fn step(does: Do) -> Step {
    Step {
        does,
        takes_ms: 1_000,
        within_ms: None,
    }
}

/// A step that is taken at once after the previous one.
pub(super) fn promptly(does: Do) -> Step {
    Step {
        within_ms: Some(1_500),
        ..step(does)
    }
}

/// A step of this duration.
pub(super) fn slow(does: Do, takes_ms: u64) -> Step {
    Step {
        takes_ms,
        ..step(does)
    }
}

/// An actor and its steps in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Actor {
    pub(super) who: Who,
    pub(super) steps: Vec<Step>,
    /// Whether the actor may stop for good between two steps.
    pub(super) may_stop: bool,
}

/// What may go wrong, and how often. The order of everything is always free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Invocations that run at the same time.
    pub(super) running: usize,
    /// The most deliveries of an event, if nothing fails.
    pub(super) copies: u8,
    /// The most repeats of an event's invocation that failed or died.
    pub(super) retries: u8,
    /// Invocations that die at any await, before or after the awaited call takes effect.
    pub(super) crashes: u8,
    /// Calls that end without an answer, whether or not they take effect.
    pub(super) silences: u8,
    /// Writes that the table refuses because of another transaction.
    pub(super) conflicts: u8,
    /// Reads that show the group before its last change, which was at most a second ago.
    pub(super) stale_reads: u8,
    /// Sweeps while events are under way. At the end there is always one.
    pub(super) sweeps: u8,
    /// Times in which nothing happens, each at most once, in milliseconds.
    pub(super) pauses_ms: &'static [u64],
    /// Whether events may be lost.
    pub(super) lossy: bool,
    /// Whether events contain the ids of rules.
    pub(super) ids: bool,
}

/// Nothing goes wrong; only the order is free.
pub(super) const CALM: Bounds = Bounds {
    running: 1,
    copies: 1,
    retries: 0,
    crashes: 0,
    silences: 0,
    conflicts: 0,
    stale_reads: 0,
    sweeps: 0,
    pauses_ms: &[],
    lossy: false,
    ids: true,
};

/// How a scenario ends when everybody took all steps and every event was handled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ends {
    /// Rules that a principal meant to remove: neither in the record nor live. Property (c).
    pub(super) accepted: Vec<Rule>,
    /// Rules that a principal meant to add: in the record and live. Property (c).
    pub(super) entered: Vec<Rule>,
    /// Rules of an aborted change, or that nobody meant to remove: in the record and live. Property (d).
    pub(super) restored: Vec<Rule>,
    /// Rules that wait for a person: in the record and not live. Property (i).
    pub(super) pending: Vec<Rule>,
    /// Rules whose new description is live and recorded. Property (c).
    pub(super) described: Vec<Rule>,
    /// Whether the referenced group is deleted. Property (h).
    pub(super) deleted: bool,
}

/// A scenario with its own small world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) rules: Vec<RuleKey>,
    /// The recorded rules, which are live at first.
    pub(super) recorded: Vec<Rule>,
    /// Rules that are live at first and not recorded.
    pub(super) unrecorded: Vec<Rule>,
    /// Rules that reference a missing group.
    pub(super) invalid: Vec<Rule>,
    pub(super) actors: Vec<Actor>,
    pub(super) bounds: Bounds,
    pub(super) ends: Ends,
    /// Whether some runs of the scenario end with a contested rule.
    pub(super) fights: bool,
    /// Whether all pauses are shorter than the wait for causes, so that an accepted revoke is never undone.
    pub(super) stays_closed: bool,
    /// Whether the ids of the recorded rules are known from the beginning, as after `pin`.
    pub(super) pinned: bool,
}

impl Scenario {
    pub(super) fn new(name: &'static str, rules: &[&str]) -> Self {
        Self {
            name,
            rules: rules.iter().map(|rule| key(rule)).collect(),
            recorded: vec![0],
            unrecorded: Vec::new(),
            invalid: Vec::new(),
            actors: Vec::new(),
            bounds: CALM,
            ends: Ends::default(),
            fights: false,
            stays_closed: false,
            pinned: false,
        }
    }

    pub(super) fn with(mut self, who: Who, steps: Vec<Step>) -> Self {
        self.actors.push(Actor {
            who,
            steps,
            may_stop: false,
        });
        self
    }

    pub(super) fn ends(self, ends: Ends) -> Self {
        Self { ends, ..self }
    }

    /// Every actor may stop half-way.
    pub(super) fn may_stop(mut self) -> Self {
        for actor in &mut self.actors {
            actor.may_stop = true;
        }
        self
    }

    /// The record at first. Everybody has the policy of their role in the model.
    pub(super) fn record(&self) -> DesiredRecord {
        let names: Vec<String> = self
            .recorded
            .iter()
            .map(|rule| self.rules[usize::from(*rule)].to_string())
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let policies = [
            (Who::Controller, Policy::Follow),
            (Who::Second, Policy::Follow),
            (Who::Terraform, Policy::Accept),
        ];
        let principals = policies.map(|(who, policy)| Principal {
            arn: who.arn().to_owned(),
            policy,
            settle_seconds: None,
        });
        DesiredRecord {
            generation: 1,
            principals: principals.into(),
            ..record(&names)
        }
    }

    pub(super) fn rule(&self, key: &RuleKey) -> Rule {
        let place = self.rules.iter().position(|rule| rule == key);
        let place = place.expect("a rule of the scenario");
        Rule::try_from(place).expect("few rules")
    }

    pub(super) fn key(&self, rule: Rule) -> &RuleKey {
        &self.rules[usize::from(rule)]
    }

    /// The group that a rule refers to, if it exists at first.
    pub(super) fn reference(&self, rule: Rule) -> Option<&GroupId> {
        let reference = self.key(rule).referenced_group();
        let reference = reference.filter(|_| !self.invalid.contains(&rule));
        reference.map(|group| &group.group_id)
    }

    /// The referenced group that exists at first. There is one at most.
    pub(super) fn referenced_group(&self) -> Option<&GroupId> {
        let rules = 0..Rule::try_from(self.rules.len()).expect("few rules");
        rules.into_iter().find_map(|rule| self.reference(rule))
    }
}
