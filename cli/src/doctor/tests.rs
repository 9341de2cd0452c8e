//! Verdicts over plain facts.

use jiff::Timestamp;
use rulekeeper_core::decide::guardrail::Guardrails;
use rulekeeper_core::function::permissions::Outcome;
use rulekeeper_core::model::Region;
use rulekeeper_core::ports::{ApiError, Failure};

use super::check::ok;
use super::clock::{offset_ms, ours};
use super::facts::*;
use super::*;

fn denied() -> ApiError {
    ApiError {
        operation: "Some",
        failure: Failure::Refused {
            code: "AccessDeniedException".to_owned(),
        },
        message: "no".to_owned(),
    }
}

fn outcomes(checks: &[Check]) -> Vec<(&str, Outcome)> {
    checks
        .iter()
        .map(|check| (check.check.as_str(), check.outcome))
        .collect()
}

fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + ms).expect("a time")
}

fn reading(sent: i64, told: i64, received: i64) -> Reading {
    Reading {
        sent: time(sent),
        told: time(told),
        blur_ms: 1_000,
        received: time(received),
    }
}

#[test]
fn a_clock_is_off_by_what_the_answers_second_and_the_network_cannot_explain() {
    assert_eq!(offset_ms(&reading(0, 0, 50)), 0);
    assert_eq!(
        offset_ms(&reading(900, 0, 950)),
        0,
        "the rest of the second is cut off"
    );
    assert_eq!(
        offset_ms(&reading(0, 3_000, 5_000)),
        0,
        "the answer took its time"
    );
    assert_eq!(offset_ms(&reading(7_000, 0, 7_050)), 6_000);
    assert_eq!(offset_ms(&reading(0, 7_000, 50)), -6_950);
    let outcome = |told: i64| ours(Some(&reading(0, told, 50))).outcome;
    assert_eq!(outcome(-5_000), Outcome::Ok);
    assert_eq!(outcome(-6_500), Outcome::Warning);
    assert_eq!(outcome(200_000), Outcome::Warning);
    assert_eq!(outcome(300_000), Outcome::Failed);
    assert_eq!(ours(None).outcome, Outcome::Skipped);
}

#[test]
fn the_functions_clock_is_held_against_that_of_aws_and_not_against_ours() {
    let findings = rulekeeper_core::function::permissions::Findings {
        checks: Vec::new(),
        time: time(0),
    };
    // We are a minute ahead, and so the function seems to be a minute behind.
    let check = |ahead_ms| clock::of_function(&findings, time(60_000), time(60_100), ahead_ms);
    assert_eq!(check(60_000).outcome, Outcome::Ok);
    let wrong = check(0);
    assert_eq!(
        (wrong.outcome, wrong.found.starts_with("60 s behind AWS")),
        (Outcome::Warning, true),
        "{wrong:?}"
    );
}

fn table(keys: [(&str, &str, &str); 2], status: &str) -> Check {
    let keys = keys.map(|(name, role, kind)| (name.to_owned(), role.to_owned(), kind.to_owned()));
    let description = Description {
        status: status.to_owned(),
        keys: keys.into(),
        ..Description::default()
    };
    let facts = TableFacts {
        description: Ok(Some(description)),
        expiry: Ok(Expiry::default()),
        recovery: Ok(true),
    };
    table::judge("t", &facts).remove(0)
}

#[test]
fn a_table_has_our_keys_and_can_be_used() {
    let keys = [("sk", "RANGE", "S"), ("pk", "HASH", "S")];
    assert_eq!(table(keys, "ACTIVE").outcome, Outcome::Ok);
    assert_eq!(table(keys, "UPDATING").outcome, Outcome::Ok);
    let creating = table(keys, "CREATING");
    assert_eq!(
        (creating.outcome, creating.found.as_str()),
        (Outcome::Failed, "is CREATING")
    );
    let other = table([("sk", "RANGE", "N"), ("pk", "HASH", "S")], "ACTIVE");
    assert!(
        other.outcome == Outcome::Failed && other.found.contains("\"N\""),
        "{other:?}"
    );
}

#[test]
fn a_tables_parts_are_judged_each_by_itself() {
    let facts = TableFacts {
        description: Err(denied()),
        expiry: Ok(Expiry {
            status: "ENABLED".to_owned(),
            attribute: Some("gone_at".to_owned()),
        }),
        recovery: Err(denied()),
    };
    assert!(table::is_there(&facts), "it may be");
    let checks = table::judge("t", &facts);
    let expected = [
        ("table", Outcome::Failed),
        ("table_expiry", Outcome::Warning),
        ("table_recovery", Outcome::Warning),
    ];
    assert_eq!(outcomes(&checks), expected);
    assert!(checks[1].found.contains("gone_at"), "{checks:?}");
    let out_of_reach = Description {
        key_is_out_of_reach: true,
        ..Description::default()
    };
    let facts = TableFacts {
        description: Ok(Some(out_of_reach)),
        ..facts
    };
    assert!(outcomes(&table::judge("t", &facts)).contains(&("table_encryption", Outcome::Failed)));
}

fn trail(selectors: Selectors) -> TrailFacts {
    TrailFacts {
        name: "t".to_owned(),
        arn: "arn:t".to_owned(),
        home_region: "eu-west-1".to_owned(),
        multi_region: false,
        status: Ok(Status {
            logging: true,
            delivery_error: None,
        }),
        selectors: Ok(selectors),
    }
}

fn region() -> Region {
    "eu-west-1".parse().expect("a Region")
}

fn field(name: &str, change: impl FnOnce(&mut Field)) -> Field {
    let mut field = Field {
        name: name.to_owned(),
        ..Field::default()
    };
    change(&mut field);
    field
}

#[test]
fn a_trail_logs_what_its_selectors_let_through() {
    let is = |name: &str, value: &str| field(name, |field| field.equals = vec![value.to_owned()]);
    let not =
        |name: &str, value: &str| field(name, |field| field.not_equals = vec![value.to_owned()]);
    let basic = |management, read_write: &str| Selectors {
        basic: vec![Basic {
            management,
            read_write: read_write.to_owned(),
        }],
        advanced: Vec::new(),
    };
    let advanced = |fields: Vec<Field>| Selectors {
        basic: Vec::new(),
        advanced: vec![vec![is("eventCategory", "Data")], fields],
    };
    let management = || is("eventCategory", "Management");
    let cases = [
        (Selectors::default(), Outcome::Ok),
        (basic(true, "All"), Outcome::Ok),
        (basic(true, "WriteOnly"), Outcome::Ok),
        (basic(true, "ReadOnly"), Outcome::Failed),
        (basic(false, "All"), Outcome::Failed),
        (advanced(vec![management()]), Outcome::Ok),
        (
            advanced(vec![management(), is("readOnly", "true")]),
            Outcome::Failed,
        ),
        (
            advanced(vec![management(), not("eventSource", "kms.amazonaws.com")]),
            Outcome::Ok,
        ),
        (
            advanced(vec![management(), not("eventSource", "ec2.amazonaws.com")]),
            Outcome::Failed,
        ),
        (
            advanced(vec![management(), is("eventName", "ConsoleLogin")]),
            Outcome::Failed,
        ),
        (
            advanced(vec![
                management(),
                field("eventName", |it| it.starts_with = vec!["Revoke".to_owned()]),
            ]),
            Outcome::Ok,
        ),
        (
            advanced(vec![
                management(),
                field("eventName", |it| {
                    it.not_ends_with = vec!["Ingress".to_owned()]
                }),
            ]),
            Outcome::Failed,
        ),
        (
            advanced(vec![management(), is("userIdentity.arn", "arn:x")]),
            Outcome::Warning,
        ),
        (advanced(vec![]), Outcome::Ok),
    ];
    for (selectors, expected) in cases {
        let said = format!("{selectors:?}");
        let checks = trail::judge(&Ok(vec![trail(selectors)]), &region());
        assert_eq!(outcomes(&checks), [("trail", expected)], "{said}");
    }
}

#[test]
fn one_trail_that_logs_here_is_enough() {
    let stopped = || TrailFacts {
        status: Ok(Status::default()),
        ..trail(Selectors::default())
    };
    let elsewhere = || TrailFacts {
        home_region: "us-east-1".to_owned(),
        ..trail(Selectors::default())
    };
    let everywhere = || TrailFacts {
        multi_region: true,
        ..elsewhere()
    };
    let judge = |trails| trail::judge(&Ok(trails), &region());
    assert_eq!(
        outcomes(&judge(vec![stopped(), everywhere()])),
        [("trail", Outcome::Ok)]
    );
    let none = judge(vec![elsewhere()]);
    assert!(
        none[0].outcome == Outcome::Failed && none[0].found.contains("has no trail"),
        "{none:?}"
    );
    let both = judge(vec![
        stopped(),
        TrailFacts {
            status: Err(denied()),
            ..everywhere()
        },
    ]);
    assert_eq!(outcomes(&both), [("trail", Outcome::Failed); 2]);
    assert!(
        both[1]
            .fix
            .as_deref()
            .is_some_and(|fix| fix.contains("cloudtrail:GetTrailStatus")),
        "{both:?}"
    );
}

fn rule(name: &str, enabled: bool, through: &[&'static str]) -> RuleFacts {
    RuleFacts {
        name: name.to_owned(),
        enabled,
        schedule: None,
        lets_through: Some(Ok(through.to_vec())),
        dead_letters: Ok(Some("arn:q".to_owned())),
    }
}

fn sweeps(enabled: bool) -> RuleFacts {
    RuleFacts {
        schedule: Some("rate(15 minutes)".to_owned()),
        lets_through: None,
        ..rule("sweep", enabled, &[])
    }
}

#[test]
fn rules_hand_over_what_is_wanted_between_them() {
    let all = WANTED.map(|wanted| wanted.name);
    let judge = |rules: Vec<RuleFacts>| rules::judge("f", &Ok(rules));
    let well = judge(vec![
        rule("a", true, &all[..2]),
        rule("b", true, &all[2..]),
        sweeps(true),
    ]);
    assert_eq!(
        outcomes(&well),
        [
            ("event_rule", Outcome::Ok),
            ("event_rule", Outcome::Ok),
            ("schedule", Outcome::Ok)
        ]
    );
    let spare = judge(vec![
        rule("a", true, &all),
        rule("b", false, &all),
        sweeps(true),
        sweeps(false),
    ]);
    let expected = [
        ("event_rule", Outcome::Ok),
        ("event_rule", Outcome::Warning),
        ("schedule", Outcome::Ok),
        ("schedule", Outcome::Warning),
    ];
    assert_eq!(outcomes(&spare), expected);
    let none = judge(Vec::new());
    assert_eq!(
        outcomes(&none),
        [
            ("event_rule", Outcome::Failed),
            ("schedule", Outcome::Failed)
        ]
    );
    assert!(
        none[0].found.contains("RevokeSecurityGroupIngress"),
        "{none:?}"
    );
    // What is not known is not also reported as missing.
    let unclear = RuleFacts {
        lets_through: Some(Err(denied())),
        ..rule("a", true, &[])
    };
    assert_eq!(
        outcomes(&judge(vec![unclear, sweeps(true)])),
        [("event_rule", Outcome::Failed), ("schedule", Outcome::Ok)]
    );
    let refused = rules::judge("f", &Err(("events:DescribeRule", denied())));
    assert!(
        refused[0]
            .fix
            .as_deref()
            .is_some_and(|fix| fix.contains("events:DescribeRule")),
        "{refused:?}"
    );
}

#[test]
fn what_rules_have_to_let_through_is_the_table_of_wanted_calls() {
    use rulekeeper_core::event::WANTED_CALLS;
    let plain = WANTED_CALLS.iter().map(|call| call.name.to_owned());
    let refused = WANTED_CALLS.iter().filter(|call| call.also_refused);
    let refused = refused.map(|call| format!("a refused {}", call.name));
    let wanted: Vec<String> = plain.chain(refused).collect();
    assert_eq!(WANTED.map(|wanted| wanted.name).to_vec(), wanted);
}

#[test]
fn the_events_that_rules_are_tried_with_are_what_the_function_reads() {
    use rulekeeper_core::event::{Intent, intent};
    for wanted in WANTED {
        let event = wanted.event("111122223333", "eu-west-1");
        assert!(
            matches!(intent(&event), Intent::Reconcile(_)),
            "{}: {:?}",
            wanted.name,
            intent(&event)
        );
    }
}

#[test]
fn a_functions_state_table_mode_and_guardrails() {
    let active = FunctionFacts {
        name: "f".to_owned(),
        state: "Active".to_owned(),
        last_update: "Successful".to_owned(),
        runtime: "provided.al2023".to_owned(),
        table: Some("t".to_owned()),
        ..FunctionFacts::default()
    };
    let judge = |change: fn(&mut FunctionFacts)| {
        let mut facts = active.clone();
        change(&mut facts);
        function::judge(
            &FoundFunction::One(Box::new(facts)),
            "t",
            &Guardrails::default(),
        )
    };
    let of = |checks: Vec<Check>| checks.iter().map(|check| check.outcome).collect::<Vec<_>>();
    use Outcome::{Failed, Ok, Warning};
    assert_eq!(of(judge(|_| {})), [Ok, Ok, Ok, Ok]);
    assert_eq!(
        of(judge(|it| it.state = "Failed".to_owned())),
        [Failed, Ok, Ok, Ok]
    );
    assert_eq!(
        of(judge(|it| it.state = "Pending".to_owned())),
        [Warning, Ok, Ok, Ok]
    );
    assert_eq!(
        of(judge(|it| it.last_update = "Failed".to_owned())),
        [Failed, Ok, Ok, Ok]
    );
    assert_eq!(
        of(judge(|it| it.runtime = "python3.13".to_owned())),
        [Warning, Ok, Ok, Ok]
    );
    assert_eq!(of(judge(|it| it.table = None)), [Ok, Failed, Ok, Ok]);
    assert_eq!(
        of(judge(|it| it.mode = Some("observe".to_owned()))),
        [Ok, Ok, Warning, Ok]
    );
    assert_eq!(
        of(judge(|it| it.mode = Some("watch".to_owned()))),
        [Ok, Ok, Failed, Ok]
    );
    assert_eq!(
        of(judge(|it| it.never = Some("tcp 22 from ::/0".to_owned()))),
        [Ok, Ok, Ok, Warning]
    );
    assert_eq!(
        of(judge(|it| it.never = Some("tcp 22".to_owned()))),
        [Ok, Ok, Ok, Failed]
    );
    assert!(same_table(
        "t",
        "arn:aws:dynamodb:eu-west-1:111122223333:table/t"
    ));
    assert!(!same_table("t", "tt"));
    let several = function::judge(
        &FoundFunction::Several(vec!["a".to_owned(), "b".to_owned()]),
        "t",
        &Guardrails::default(),
    );
    assert!(
        several[0].subject == "a, b"
            && several[0]
                .fix
                .as_deref()
                .is_some_and(|fix| fix.contains("--function"))
    );
    let none = Invocations {
        retries: Some(0),
        on_failure: None,
    };
    let checks = function::judge_invocations(&active, &Result::Ok(Some(none)));
    assert_eq!(of(checks), [Warning, Warning]);
}

#[test]
fn a_queue_is_known_by_its_arn_and_other_destinations_are_left_alone() {
    let queue = QueueName::of_arn("arn:aws:sqs:eu-west-1:111122223333:failed").expect("a queue");
    assert_eq!(
        (
            queue.region.as_str(),
            queue.account.as_str(),
            queue.name.as_str()
        ),
        ("eu-west-1", "111122223333", "failed")
    );
    assert_eq!(
        QueueName::of_arn("arn:aws:sns:eu-west-1:111122223333:topic"),
        None
    );
    assert_eq!(QueueName::of_arn("failed"), None);
    let checks = queues::judge(&[
        ("a".to_owned(), None),
        ("b".to_owned(), Some(Err(("sqs:GetQueueUrl", denied())))),
    ]);
    assert_eq!(
        outcomes(&checks),
        [("queue", Outcome::Skipped), ("queue", Outcome::Failed)]
    );
}

#[test]
fn what_an_operator_lacks_is_said_once_for_each_ability() {
    let refused = |action: &str| {
        rulekeeper_core::function::permissions::Whose::Operator.tried(
            action,
            "on the table",
            Err(denied()),
        )
    };
    let lacking = operator::judge(
        "write",
        vec![
            refused("dynamodb:PutItem"),
            refused("dynamodb:PutItem"),
            ok("operator", "x", "y"),
        ],
    );
    assert_eq!(lacking.outcome, Outcome::Warning);
    assert_eq!(
        lacking.found,
        "dynamodb:PutItem on the table: refused: AccessDeniedException: no"
    );
    assert_eq!(
        operator::judge("write", vec![ok("operator", "x", "y")]).outcome,
        Outcome::Ok
    );
}
