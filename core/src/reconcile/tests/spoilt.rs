//! Spoilt events, records and states: whatever somebody writes into them, nothing panics, and nothing is authorized that
//! the record does not hold.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::desired::{DesiredRecord, Policy};
use crate::fakes::account;
use crate::model::RuleKey;

/// Values that something else was expected for.
fn junk() -> impl Strategy<Value = Value> {
    const TEXTS: &[&str] = &[
        "",
        "*",
        "-1",
        "\u{0}",
        "\u{202e}",
        "9999-12-31T23:59:59Z",
        "-009999-01-02T01:59:59Z",
        "1969-12-31T23:59:59Z",
        "2016-12-31T23:59:60Z",
        "0.0.0.0/0",
        "::/0",
        "10.0.0.0/33",
        "sg-",
        "sgr-0",
        "arn:aws:iam::",
        "RevokeSecurityGroupIngress",
        "AuthorizeSecurityGroupIngress",
        "ModifySecurityGroupRules",
        "DeleteSecurityGroup",
        "Client.InvalidGroup.NotFound",
        "true",
    ];
    let numbers = [
        json!(0),
        json!(-1),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(0.5),
        json!(65_536),
    ];
    prop_oneof![
        4 => prop::sample::select(TEXTS).prop_map(Value::from).boxed(),
        2 => prop::sample::select(numbers.to_vec()).boxed(),
        1 => Just(json!(null)).boxed(),
        1 => any::<bool>().prop_map(Value::from).boxed(),
        1 => Just(json!([])).boxed(),
        1 => Just(json!({})).boxed(),
        1 => Just(json!([[[[[{"items": [{"items": [null]}]}]]]]])).boxed(),
        1 => Just(json!("x".repeat(5_000))).boxed(),
        1 => ".{0,12}".prop_map(Value::from).boxed(),
    ]
}

/// What is done to a place in a document.
#[derive(Debug, Clone)]
enum Spoil {
    Replace(Value),
    Remove,
    /// It is in a list, or in a list of items.
    Wrap(bool),
    /// A list holds its first entry twice, a map has one more name.
    Grow(String, Value),
}

fn spoil() -> impl Strategy<Value = (prop::sample::Index, Spoil)> {
    let spoil = prop_oneof![
        6 => junk().prop_map(Spoil::Replace),
        2 => Just(Spoil::Remove),
        1 => any::<bool>().prop_map(Spoil::Wrap),
        1 => ("[a-zA-Z]{1,9}", junk()).prop_map(|(name, value)| Spoil::Grow(name, value)),
    ];
    (any::<prop::sample::Index>(), spoil)
}

/// How many values a document holds, itself included.
fn places(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(places).sum(),
        Value::Object(fields) => fields.values().map(places).sum(),
        _ => 0,
    }
}

/// Spoils one place of a document, counted in the order of reading.
fn spoiled(value: &mut Value, place: usize, spoil: &Spoil) {
    if place > 0 {
        let mut left = place - 1;
        let inner: Vec<&mut Value> = match value {
            Value::Array(list) => list.iter_mut().collect(),
            Value::Object(fields) => fields.values_mut().collect(),
            _ => return,
        };
        for value in inner {
            let within = places(value);
            if left < within {
                return spoiled(value, left, spoil);
            }
            left -= within;
        }
        return;
    }
    match spoil {
        Spoil::Replace(other) => *value = other.clone(),
        Spoil::Remove => *value = Value::Null,
        Spoil::Wrap(true) => *value = json!({ "items": [value.take()] }),
        Spoil::Wrap(false) => *value = json!([value.take()]),
        Spoil::Grow(name, other) => match value {
            Value::Array(list) => list.extend(list.first().cloned()),
            Value::Object(fields) => drop(fields.insert(name.clone(), other.clone())),
            _ => *value = other.clone(),
        },
    }
}

fn spoil_all(document: &mut Value, spoils: &[(prop::sample::Index, Spoil)]) {
    for (place, spoil) in spoils {
        let place = place.index(places(document));
        spoiled(document, place, spoil);
    }
}

/// The sample events that are about one group.
fn samples() -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../events");
    let files = std::fs::read_dir(folder).expect("the folder of events");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "json"));
    paths.sort();
    let read = |path| serde_json::from_slice(&std::fs::read(path).expect("readable"));
    paths
        .into_iter()
        .map(|path| read(path).expect("JSON"))
        .collect()
}

/// A record with all kinds of rules and a listed principal.
fn full_record() -> Value {
    let mut record = record(&[
        OFFICE,
        "tcp 80-90 from sg-0a",
        "icmp 8/-1 from 10.0.0.0/8",
        "all from pl-0a",
        "50 from ::/0",
    ]);
    record.principals = vec![Principal {
        arn: "arn:aws:iam::111122223333:role/*".to_owned(),
        policy: Policy::Accept,
        settle_seconds: None,
    }];
    Value::Object(record.to_json())
}

/// Runs one event against a record and state, and checks what was authorized.
fn checked(event: &Value, item: &Value, state: Option<&Value>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        let (ec2, table) = (
            FakeEc2::new(&["tcp 22 from 0.0.0.0/0"]),
            FakeTable::default(),
        );
        table.put(group(), item.clone());
        if let Some(state) = state {
            let mut states = table.states.lock().expect("nobody panicked");
            states.insert(group(), state.clone());
        }
        let before: BTreeSet<RuleKey> = ec2.state().live.keys().cloned().collect();
        let asks = match intent(event) {
            Intent::Reconcile(lookup) => lookup,
            _ => return,
        };
        let missing = MissingReferences::default();
        let result = reconcile(world(&ec2, &table, &missing), &asks, Budget::of(SECONDS_30)).await;
        let size = serde_json::to_vec(&*result.report.capped())
            .expect("JSON")
            .len();
        assert!(size <= crate::report::REPORT_BYTES_MAX);
        let recorded = DesiredRecord::from_json(item, &account());
        let recorded = recorded
            .map(|reading| reading.record.rules)
            .unwrap_or_default();
        for rule in ec2
            .state()
            .live
            .keys()
            .filter(|rule| !before.contains(*rule))
        {
            assert!(recorded.contains_key(rule), "{rule} is not recorded");
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

    #[test]
    fn no_event_makes_anything_but_the_record_come_back(
        sample in prop::sample::select(samples()),
        spoils in prop::collection::vec(spoil(), 1..4),
    ) {
        let mut event = sample;
        spoil_all(&mut event, &spoils);
        checked(&event, &full_record(), None);
    }

    #[test]
    fn no_record_is_half_used(spoils in prop::collection::vec(spoil(), 1..4)) {
        let mut item = full_record();
        spoil_all(&mut item, &spoils);
        checked(&revoke(), &item, None);
    }

    #[test]
    fn no_state_does_harm(spoils in prop::collection::vec(spoil(), 1..4)) {
        let mut state = STATE.clone();
        spoil_all(&mut state, &spoils);
        checked(&revoke(), &full_record(), Some(&state));
    }
}

static STATE: LazyLock<Value> = LazyLock::new(full_state);

/// The state of a group after calls of several principals.
fn full_state() -> Value {
    let table = FakeTable::default();
    table.put(group(), full_record());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        let ec2 = FakeEc2::new(&[]);
        for sample in samples() {
            let Intent::Reconcile(mut lookup) = intent(&sample) else {
                continue;
            };
            lookup.scope = group().scope;
            lookup.group = crate::event::GroupLocator::Id(group().id);
            let missing = MissingReferences::default();
            let _ = reconcile(
                world(&ec2, &table, &missing),
                &lookup,
                Budget::of(SECONDS_30),
            )
            .await;
        }
    });
    let states = table.states.lock().expect("nobody panicked");
    states.get(&group()).cloned().expect("a state")
}
