//! Does one of the core's pure works again and again, for counting what it costs: `work parse|plan|judge RULES TIMES`.
//!
//! It prints the nanoseconds of one time. Run under Valgrind's callgrind with two numbers of times, the difference says how
//! many instructions one time takes.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use jiff::Timestamp;
use rulekeeper_core::decide::changes::{GroupState, KnownCall, Situation, judge};
use rulekeeper_core::decide::plan::plan;
use rulekeeper_core::desired::{DesiredRecord, Principals};
use rulekeeper_core::event::{Intent, Lookup, intent};
use rulekeeper_core::model::{AccountId, ActualRule, ActualRules};
use serde_json::{Value, json};

const ACCOUNT: &str = "111122223333";
const TERRAFORM: &str = "arn:aws:iam::111122223333:role/terraform";

#[expect(
    clippy::disallowed_methods,
    reason = "the core reads no clock; this program measures it"
)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers = |at: usize| arguments.get(at).and_then(|text| text.parse().ok());
    let work = match (arguments.first().map(String::as_str), numbers(1)) {
        (Some("parse"), Some(rules)) => parse(rules),
        (Some("plan"), Some(rules)) => planned(rules),
        (Some("judge"), Some(rules)) => judged(rules),
        _ => return usage(),
    };
    let Some(times) = numbers(2) else {
        return usage();
    };
    let began = Instant::now();
    for _ in 0..times {
        work();
    }
    let nanos = began.elapsed().as_nanos() / times.max(1) as u128;
    eprintln!("{nanos} ns");
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: work parse|plan|judge RULES TIMES");
    ExitCode::from(2)
}

/// A record and an event, from JSON.
fn parse(rules: usize) -> Box<dyn Fn()> {
    let (item, event) = (item(rules, &[]), event());
    Box::new(move || {
        black_box(record(black_box(&item)));
        black_box(intent(black_box(&event)));
    })
}

/// What is missing: the first rule.
fn planned(rules: usize) -> Box<dyn Fn()> {
    let record = record(&item(rules, &[]));
    let live = live(&record);
    Box::new(move || {
        let none = BTreeSet::new();
        let _ = black_box(plan(black_box(&record), black_box(&live), &none));
    })
}

/// Why the first rule is missing, where Terraform is accepted: it took it, and nothing else.
fn judged(rules: usize) -> Box<dyn Fn()> {
    let record = record(&item(rules, &[TERRAFORM]));
    let live = live(&record);
    let call = KnownCall::of(&lookup()).expect("the event tells of a call");
    Box::new(move || {
        let mut state = GroupState::default();
        let now: Timestamp = "2026-11-22T09:30:20Z".parse().expect("a time");
        state.note_call(call.clone(), now);
        let situation = Situation {
            record: &record,
            principals: Principals {
                of_record: &record.principals,
                settle_of_record: None,
                of_all: &[],
                settle_of_all: None,
                cause_wait_of_record: None,
                cause_wait_of_all: None,
            },
            actual: &live,
            now,
            call: Some(&call),
        };
        let _ = black_box(judge(black_box(situation), state));
    })
}

fn record(item: &Value) -> DesiredRecord {
    let account: AccountId = ACCOUNT.parse().expect("an account");
    let reading = DesiredRecord::from_json(item, &account);
    reading.expect("the record can be read").record
}

fn live(record: &DesiredRecord) -> ActualRules {
    let rules = record.rules.keys().skip(1).map(|key| ActualRule {
        id: None,
        key: key.clone(),
        description: None,
        tags: Default::default(),
        reference_owner_unknown: false,
    });
    ActualRules::new(rules, Vec::new())
}

fn lookup() -> Lookup {
    let Intent::Reconcile(lookup) = intent(&event()) else {
        unreachable!("a revoke asks for a look")
    };
    *lookup
}

fn item(rules: usize, accepted: &[&str]) -> Value {
    let rule = |number: usize| {
        json!({"protocol": "tcp", "from_port": 1_000 + number, "to_port": 1_000 + number, "cidr_ipv4": "10.0.0.0/8",
            "description": "made by a controller"})
    };
    let rules: Vec<Value> = (0..rules).map(rule).collect();
    let principals = accepted
        .iter()
        .map(|arn| json!({"arn": arn, "policy": "accept"}));
    let principals: Vec<Value> = principals.collect();
    json!({"schema": 1, "generation": 1, "rules": rules, "principals": principals})
}

/// A revoke of the first rule.
fn event() -> Value {
    json!({
        "version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.ec2", "account": ACCOUNT, "time": "2026-11-22T09:30:00Z", "region": "eu-west-1", "resources": [],
        "detail": {
            "eventVersion": "1.11", "eventTime": "2026-11-22T09:30:00Z", "eventSource": "ec2.amazonaws.com",
            "eventName": "RevokeSecurityGroupIngress", "awsRegion": "eu-west-1", "recipientAccountId": ACCOUNT,
            "eventID": "8a7e8feb-b491-4cf7-a9f1-bf3703467718", "eventType": "AwsApiCall",
            "userIdentity": {
                "type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/terraform/ci", "accountId": ACCOUNT,
                "sessionContext": {"sessionIssuer": {"type": "Role", "arn": TERRAFORM, "accountId": ACCOUNT}},
            },
            "requestParameters": {
                "groupId": "sg-0a1b2c3d4e5f60718",
                "ipPermissions": {"items": [{"ipProtocol": "tcp", "fromPort": 1_000, "toPort": 1_000, "groups": {},
                    "ipRanges": {"items": [{"cidrIp": "10.0.0.0/8"}]}, "ipv6Ranges": {}, "prefixListIds": {}}]},
            },
            "responseElements": {"requestId": "b1c2", "_return": true},
        },
    })
}
