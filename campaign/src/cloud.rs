//! EC2 with its trail of events, and the table, as others see them.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::clock;
use rulekeeper_core::decide::plan::Batch;
use rulekeeper_core::fakes::{FakeEc2, FakeTable, group};
use rulekeeper_core::model::{ActualRule, GroupId, IngressRule, Protocol, RuleKey, Source, Tags};

/// The live rules at a moment.
pub(crate) type Live = BTreeMap<RuleKey, ActualRule>;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) role: String,
    pub(crate) is_person: bool,
}

impl Caller {
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:iam::111122223333:role/{}", self.role)
    }
}

/// The session of the function's own calls, which is the function's name.
pub(crate) const FUNCTION: &str = "rulekeeper";

/// A recorded call.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) at: Instant,
    pub(crate) by: String,
    pub(crate) payload: Value,
    /// When an invocation with it ended well for the first time.
    pub(crate) told: Option<Instant>,
    /// Whether it names what it took by id only.
    pub(crate) by_id: bool,
}

/// EC2 and the table, and what became of them.
pub(crate) struct Cloud {
    pub(crate) ec2: Rc<FakeEc2>,
    pub(crate) table: Rc<FakeTable>,
    tells_ids: bool,
    pub(crate) events: Vec<Event>,
    /// What was live since when.
    pub(crate) past: Vec<(Instant, Live)>,
}

impl Cloud {
    pub(crate) fn new(live: &[RuleKey], groups: &[GroupId], tells_ids: bool) -> Self {
        let ec2 = FakeEc2::new(&[]);
        {
            let mut state = ec2.state();
            state.groups.extend(groups.iter().cloned());
            for rule in live {
                state.add(rule, None, Tags::new());
            }
        }
        let mut cloud = Self {
            ec2: Rc::new(ec2),
            table: Rc::default(),
            tells_ids,
            events: Vec::new(),
            past: Vec::new(),
        };
        cloud.note_live();
        cloud
    }

    /// Notes what is live now, if it changed.
    pub(crate) fn note_live(&mut self) {
        let state = self.ec2.state();
        if self
            .past
            .last()
            .is_none_or(|(_, before)| *before != state.live)
        {
            self.past.push((Instant::now(), state.live.clone()));
        }
    }

    pub(crate) fn is_live(&self, rule: &RuleKey) -> bool {
        self.ec2.state().live.contains_key(rule)
    }

    /// What was live at a moment.
    pub(crate) fn live_at(&self, at: Instant) -> Live {
        let before = self.past.iter().rev().find(|(since, _)| *since <= at);
        before
            .or(self.past.first())
            .map(|(_, live)| live.clone())
            .unwrap_or_default()
    }

    /// What was live at some time between these.
    pub(crate) fn live_between(&self, from: Instant, until: Instant) -> Vec<&Live> {
        let mut during = Vec::new();
        for (index, (since, live)) in self.past.iter().enumerate() {
            let ended = self.past.get(index + 1).map(|(at, _)| *at);
            if *since <= until && ended.is_none_or(|ended| ended >= from) {
                during.push(live);
            }
        }
        during
    }

    /// Revokes rules, in one call. EC2 refuses all of it if one of them is not live.
    pub(crate) fn revoke(&mut self, by: &Caller, rules: &[RuleKey], by_id: bool) -> Option<usize> {
        let gone: Vec<ActualRule> = {
            let mut state = self.ec2.state();
            if !rules.iter().all(|rule| state.live.contains_key(rule)) {
                return None;
            }
            rules
                .iter()
                .filter_map(|rule| state.live.remove(rule))
                .collect()
        };
        self.note_live();
        let mut request = json!({"groupId": group().id});
        match by_id {
            true => {
                request["securityGroupRuleIds"] = items(
                    gone.iter()
                        .map(|rule| json!({"securityGroupRuleId": rule.id})),
                )
            }
            false => request["ipPermissions"] = permissions(rules),
        }
        let mut response = json!({"_return": true});
        if self.tells_ids {
            response["revokedSecurityGroupRuleSet"] = items(gone.iter().map(flat));
        }
        let told = by_id && !self.tells_ids;
        Some(self.record(
            by,
            "RevokeSecurityGroupIngress",
            request,
            Ok(response),
            told,
        ))
    }

    /// Authorizes rules, in one call: all or none. Returns the event, and whether EC2 accepted it.
    pub(crate) fn authorize(&mut self, by: &Caller, rules: &[RuleKey]) -> (usize, bool) {
        let batch = Batch {
            rules: rules.iter().cloned().map(IngressRule::bare).collect(),
            tags: Tags::new(),
        };
        let refusal = match self.ec2.state().judge(&batch) {
            Ok(()) => None,
            Err(error) => Some(error.code().to_owned()),
        };
        match refusal {
            Some(code) => (self.refused(by, rules, &code), false),
            None => {
                for rule in rules {
                    self.ec2.state().add(rule, None, Tags::new());
                }
                (self.record_authorize(by, rules), true)
            }
        }
    }

    /// Notes an authorize that has succeeded.
    pub(crate) fn record_authorize(&mut self, by: &Caller, rules: &[RuleKey]) -> usize {
        let request = json!({"groupId": group().id, "ipPermissions": permissions(rules)});
        let made = {
            let state = self.ec2.state();
            let live = rules.iter().filter_map(|rule| state.live.get(rule));
            items(live.map(flat))
        };
        self.note_live();
        let response = json!({"_return": true, "securityGroupRuleSet": made});
        let name = "AuthorizeSecurityGroupIngress";
        self.record(by, name, request, Ok(response), false)
    }

    /// Notes an authorize that has failed with this code.
    pub(crate) fn refused(&mut self, by: &Caller, rules: &[RuleKey], code: &str) -> usize {
        let request = json!({"groupId": group().id, "ipPermissions": permissions(rules)});
        let name = "AuthorizeSecurityGroupIngress";
        self.record(by, name, request, Err(code), false)
    }

    /// Modifies a live rule in place. It keeps its id.
    pub(crate) fn modify(&mut self, by: &Caller, from: &RuleKey, to: &RuleKey) -> Option<usize> {
        let id = {
            let mut state = self.ec2.state();
            if state.live.contains_key(to) {
                return None;
            }
            let rule = state.live.remove(from)?;
            let id = rule.id.clone();
            let rule = ActualRule {
                key: to.clone(),
                ..rule
            };
            state.live.insert(to.clone(), rule);
            id
        };
        self.note_live();
        let content = pascal(&flat(&ActualRule {
            id: None,
            key: to.clone(),
            description: None,
            tags: Tags::new(),
            reference_owner_unknown: false,
        }));
        let request = json!({"ModifySecurityGroupRulesRequest": {"GroupId": group().id,
            "SecurityGroupRule": {"SecurityGroupRuleId": id, "SecurityGroupRule": content, "tag": 1}}});
        let response = Ok(json!({"_return": true}));
        Some(self.record(by, "ModifySecurityGroupRules", request, response, true))
    }

    /// Changes a rule's description.
    pub(crate) fn describe(&mut self, by: &Caller, rule: &RuleKey, text: &str) -> Option<usize> {
        self.ec2.state().live.get_mut(rule)?.description = Some(text.to_owned());
        self.note_live();
        let mut permissions = permissions(std::slice::from_ref(rule));
        for list in ["ipRanges", "groups"] {
            if let Some(entry) = permissions.pointer_mut(&format!("/items/0/{list}/items/0")) {
                entry["description"] = text.into();
            }
        }
        let request = json!({"groupId": group().id, "ipPermissions": permissions});
        let response = Ok(json!({"_return": true}));
        let name = "UpdateSecurityGroupRuleDescriptionsIngress";
        Some(self.record(by, name, request, response, false))
    }

    /// Deletes a group to which no live rule refers. `None` if there is no such group.
    pub(crate) fn delete_group(&mut self, by: &Caller, id: &GroupId) -> Option<(usize, bool)> {
        if !self.ec2.state().groups.contains(id) {
            return None;
        }
        let is_used = {
            let mut state = self.ec2.state();
            let refers =
                |rule: &RuleKey| rule.referenced_group().is_some_and(|it| it.group_id == *id);
            let is_used = state.live.keys().any(refers);
            if !is_used {
                state.groups.remove(id);
            }
            is_used
        };
        let response = match is_used {
            true => Err("DependencyViolation"),
            false => Ok(json!({"_return": true})),
        };
        let request = json!({"groupId": id});
        let event = self.record(by, "DeleteSecurityGroup", request, response, false);
        Some((event, !is_used))
    }

    /// Notes a call as CloudTrail does, in whole seconds. Returns the number of its event.
    pub(crate) fn record(
        &mut self,
        by: &Caller,
        name: &str,
        request: Value,
        response: Result<Value, &str>,
        by_id: bool,
    ) -> usize {
        let number = self.events.len();
        let session = match by.role.as_str() {
            FUNCTION => FUNCTION,
            _ => "session",
        };
        let mut detail = json!({
            "eventName": name, "eventSource": "ec2.amazonaws.com", "eventID": format!("event-{number}"),
            "eventTime": clock::whole_second(), "awsRegion": "eu-west-1", "recipientAccountId": "111122223333",
            "userIdentity": {"type": "AssumedRole", "principalId": format!("AROA1:{session}"),
                "arn": format!("arn:aws:sts::111122223333:assumed-role/{}/{session}", by.role),
                "sessionContext": {"sessionIssuer": {"arn": by.arn()}}},
            "requestParameters": request,
        });
        match response {
            Ok(response) => detail["responseElements"] = response,
            Err(code) => detail["errorCode"] = format!("Client.{code}").into(),
        }
        if by.is_person {
            detail["sessionCredentialFromConsole"] = "true".into();
        }
        self.events.push(Event {
            at: Instant::now(),
            by: by.role.clone(),
            payload: json!({"version": "0", "id": format!("envelope-{number}"), "source": "aws.ec2",
                "account": "111122223333", "region": "eu-west-1", "time": clock::whole_second(),
                "detail-type": "AWS API Call via CloudTrail", "resources": [], "detail": detail}),
            told: None,
            by_id,
        });
        number
    }
}

fn items(entries: impl Iterator<Item = Value>) -> Value {
    json!({ "items": entries.collect::<Vec<_>>() })
}

/// Rules in the nested form of a request.
fn permissions(rules: &[RuleKey]) -> Value {
    items(rules.iter().map(|rule| {
        let mut permission = ports(&rule.protocol);
        let (list, entry) = match &rule.source {
            Source::Ipv4(range) => ("ipRanges", json!({"cidrIp": range.to_string()})),
            Source::Ipv6(range) => ("ipv6Ranges", json!({"cidrIpv6": range.to_string()})),
            Source::PrefixList(id) => ("prefixListIds", json!({"prefixListId": id})),
            Source::ReferencedGroup(it) => ("groups", json!({"groupId": it.group_id})),
        };
        for empty in ["ipRanges", "ipv6Ranges", "prefixListIds", "groups"] {
            permission[empty] = json!({});
        }
        permission[list] = json!({ "items": [entry] });
        permission
    }))
}

fn ports(protocol: &Protocol) -> Value {
    let (from, to) = protocol.ports().expect("a protocol with ports");
    json!({"ipProtocol": protocol.name(), "fromPort": from, "toPort": to})
}

/// A rule in the flat form of a response.
fn flat(rule: &ActualRule) -> Value {
    let mut flat = ports(&rule.key.protocol);
    flat["groupId"] = json!(group().id);
    flat["isEgress"] = false.into();
    if let Some(id) = &rule.id {
        flat["securityGroupRuleId"] = json!(id);
    }
    match &rule.key.source {
        Source::Ipv4(range) => flat["cidrIpv4"] = range.to_string().into(),
        Source::Ipv6(range) => flat["cidrIpv6"] = range.to_string().into(),
        Source::PrefixList(id) => flat["prefixListId"] = json!(id),
        Source::ReferencedGroup(it) => flat["referencedGroupId"] = json!(it.group_id),
    }
    flat
}

/// The names of the parameters of `ModifySecurityGroupRules`.
fn pascal(flat: &Value) -> Value {
    let fields = flat.as_object().into_iter().flatten();
    let fields = fields.map(|(name, value)| {
        let mut letters = name.chars();
        let first = letters.next().map(|it| it.to_ascii_uppercase());
        (first.into_iter().chain(letters).collect(), value.clone())
    });
    Value::Object(fields.collect())
}
