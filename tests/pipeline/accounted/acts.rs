//! The calls of a sequence.

use rulekeeper_local::{Ec2, Identity, Params};
use serde_json::Value;

use super::ledger::{Ended, Ledger};
use super::{NOWHERE, ROLES, RULES};
use crate::support::{ACCOUNT, Scene, rule_json};

/// What a stranger opens to cover others.
const COVER: &str = "all from 10.0.0.0/8";

/// A sequence of calls by several callers. What EC2 refuses is part of it as well.
pub(crate) struct Sequence<'a> {
    scene: &'a Scene,
    rng: fastrand::Rng,
    /// A group that a rule refers to, and another group whose rule keeps it from being deleted.
    peer: String,
    user: String,
    candidates: Vec<String>,
    pub(crate) ledger: Ledger,
}

/// Makes the group that a rule refers to, and the rule.
pub(crate) fn peer_of(scene: &Scene) -> (String, String) {
    let ec2 = scene.stack.cloud().ec2().quietly();
    let peer = ec2
        .create_group(&format!("peer of {}", scene.group), &scene.vpc)
        .expect("a group");
    let rule = format!("tcp 8080 from {peer}");
    (peer, rule)
}

impl<'a> Sequence<'a> {
    pub(crate) fn new(scene: &'a Scene, rng: fastrand::Rng, peer: String) -> Self {
        let ec2 = scene.stack.cloud().ec2().quietly();
        let user = ec2
            .create_group(&format!("user of {}", scene.group), &scene.vpc)
            .expect("a group");
        let rule = format!("tcp 8080 from {peer}");
        ec2.authorize(&user, &[&rule]).expect("good");
        let candidates = RULES.into_iter().map(str::to_owned);
        let candidates = candidates.chain([rule]).collect();
        let ledger = Ledger::default();
        Self {
            scene,
            rng,
            peer,
            user,
            candidates,
            ledger,
        }
    }

    /// One call, or two at once.
    pub(crate) fn act(&mut self) {
        let calls = if self.rng.u32(0..6) == 0 { 2 } else { 1 };
        for _ in 0..calls {
            let role = self.rng.choice(ROLES).expect("not empty");
            self.call(role);
        }
    }

    fn call(&mut self, role: &'static str) {
        let live = self.scene.live();
        let absent = self.candidates.iter().filter(|rule| !live.contains(rule));
        let mut absent: Vec<String> = absent.cloned().collect();
        let mut present = live;
        self.rng.shuffle(&mut absent);
        self.rng.shuffle(&mut present);
        absent.truncate(self.rng.usize(1..3));
        present.truncate(self.rng.usize(1..3));
        let absent: Vec<&str> = absent.iter().map(String::as_str).collect();
        let present: Vec<&str> = present.iter().map(String::as_str).collect();
        match self.rng.u32(0..16) {
            0..=5 => self.revoke(role, &present),
            6..=8 => self.authorize(role, &absent),
            9 => self.authorize(role, &[absent.as_slice(), &[NOWHERE]].concat()),
            10 | 11 => {
                if let (Some(from), Some(to)) = (present.first(), absent.first()) {
                    self.modify(role, from, to);
                }
            }
            12 => self.delete_peer(role),
            13 => self.authorize("somebody", &[COVER]),
            _ => {
                if let Some(rule) = present.first() {
                    self.describe(role, rule);
                }
            }
        }
    }

    fn acting_as(&self, role: &str) -> Ec2 {
        let ec2 = self.scene.stack.cloud().ec2();
        ec2.acting_as(Identity::assumed_role(ACCOUNT, role, "session"))
    }

    fn note(&mut self, call: &Ended<'_>) {
        self.ledger.note(self.scene.stack.cloud(), call);
    }

    fn revoke(&mut self, role: &'static str, rules: &[&str]) {
        let result = self.acting_as(role).revoke(&self.scene.group, rules);
        // A refused revoke says nothing of what is wanted.
        if result.is_ok() {
            self.note(&Ended {
                role,
                done: true,
                by_id: false,
                closes: rules,
                opens: &[],
            });
        }
    }

    fn authorize(&mut self, role: &'static str, rules: &[&str]) {
        let result = self.acting_as(role).authorize(&self.scene.group, rules);
        self.note(&Ended {
            role,
            done: result.is_ok(),
            by_id: false,
            closes: &[],
            opens: rules,
        });
    }

    /// Modifies a rule in place. EC2 refuses to turn it into one with another kind of source.
    fn modify(&mut self, role: &'static str, from: &str, to: &str) {
        // It may have gone meanwhile.
        let Some(id) = self.id(from) else { return };
        let actor = self.acting_as(role);
        let result = actor.call("ModifySecurityGroupRules", &self.content(&id, to));
        self.note(&Ended {
            role,
            done: result.is_ok(),
            by_id: true,
            closes: &[from],
            opens: &[to],
        });
    }

    fn content(&self, id: &str, rule: &str) -> Params {
        let group = self.scene.group.as_str();
        let mut params = Params::from_pairs([
            ("GroupId", group),
            ("SecurityGroupRule.1.SecurityGroupRuleId", id),
        ]);
        let mut rule = rule_json(rule);
        rule["referenced"] = rule["referenced_group"]["group_id"].take();
        let names = [
            ("protocol", "IpProtocol"),
            ("from_port", "FromPort"),
            ("to_port", "ToPort"),
            ("cidr_ipv4", "CidrIpv4"),
            ("cidr_ipv6", "CidrIpv6"),
            ("referenced", "ReferencedGroupId"),
        ];
        for (field, name) in names {
            let value = match &rule[field] {
                Value::Null => continue,
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            params.set(
                &format!("SecurityGroupRule.1.SecurityGroupRule.{name}"),
                value,
            );
        }
        params
    }

    /// Changes a rule's description or its tags. Tags make no event.
    fn describe(&mut self, role: &str, rule: &str) {
        let Some(id) = self.id(rule) else { return };
        let text = format!("text {}", self.rng.u8(..));
        let (action, pairs) = if self.rng.bool() {
            let action = "UpdateSecurityGroupRuleDescriptionsIngress";
            let list = "SecurityGroupRuleDescription.1";
            let pairs = [
                ("GroupId".to_owned(), self.scene.group.clone()),
                (format!("{list}.SecurityGroupRuleId"), id),
                (format!("{list}.Description"), text),
            ];
            (action, pairs)
        } else {
            let pairs = [
                ("ResourceId.1".to_owned(), id),
                ("Tag.1.Key".to_owned(), "owner".to_owned()),
                ("Tag.1.Value".to_owned(), text),
            ];
            ("CreateTags", pairs)
        };
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let params = Params::from_pairs(pairs);
        self.acting_as(role).call(action, &params).expect("live");
    }

    /// Tries to delete the group that a rule refers to, sometimes when only that rule can be in the way.
    fn delete_peer(&mut self, role: &str) {
        if self.rng.bool() {
            let quiet = self.scene.stack.cloud().ec2().quietly();
            let rule = format!("tcp 8080 from {}", self.peer);
            drop(quiet.revoke(&self.user, &[&rule]));
        }
        drop(self.acting_as(role).delete_group(&self.peer));
    }

    fn id(&self, rule: &str) -> Option<String> {
        let ec2 = self.scene.stack.cloud().ec2();
        ec2.rule_id(&self.scene.group, rule)
    }
}
