use proptest::prelude::*;

use super::*;
use crate::fakes::{key, record};
use crate::model::ActualRule;

fn live(rules: &[&str]) -> ActualRules {
    let rules = rules.iter().map(|rule| ActualRule {
        id: None,
        key: key(rule),
        description: None,
        tags: Tags::new(),
        reference_owner_unknown: false,
    });
    ActualRules::new(rules, Vec::new())
}

/// Missing rules in order, then superseded rules after a tilde.
fn planned(desired: &[&str], actual: &[&str]) -> Vec<String> {
    let plan = plan(&record(desired), &live(actual), &BTreeSet::new());
    let missing = plan.missing.iter().map(|rule| rule.key.to_string());
    missing
        .chain(
            plan.superseded
                .iter()
                .map(|superseded| format!("~{}", superseded.rule)),
        )
        .collect()
}

#[test]
fn what_is_in_the_record_and_not_live_is_missing() {
    assert_eq!(
        planned(
            &["tcp 443 from 10.0.0.0/8", "tcp 80 from sg-0a"],
            &["tcp 80 from sg-0a", "tcp 22 from ::/0"]
        ),
        ["tcp 443 from 10.0.0.0/8"]
    );
}

#[test]
fn the_order_is_priority_and_then_notation() {
    let rules = [
        "tcp 9 from 10.0.0.0/8",
        "!udp 53 from 10.0.0.0/8",
        "tcp 10 from 10.0.0.0/8",
    ];
    assert_eq!(
        planned(&rules, &[]),
        [
            "udp 53 from 10.0.0.0/8",
            "tcp 10 from 10.0.0.0/8",
            "tcp 9 from 10.0.0.0/8"
        ]
    );
}

#[test]
fn a_rule_that_others_make_up_for_is_superseded() {
    assert_eq!(
        planned(&["tcp 80-9093 from sg-0a"], &["tcp 80-9100 from sg-0a"]),
        ["~tcp 80-9093 from sg-0a"]
    );
    assert_eq!(
        planned(
            &["tcp 443 from 10.0.0.0/8"],
            &["tcp 443 from 10.0.0.0/9", "tcp 400-500 from 10.128.0.0/9"]
        ),
        ["~tcp 443 from 10.0.0.0/8"]
    );
}

#[test]
fn rules_of_the_record_never_stand_in_for_one_another() {
    let desired = ["tcp 443 from 10.1.0.0/16", "all from 10.0.0.0/8"];
    assert_eq!(
        planned(&desired, &["all from 10.0.0.0/8"]),
        ["tcp 443 from 10.1.0.0/16"]
    );
}

#[test]
fn a_record_can_turn_superseding_off() {
    let mut record = record(&["tcp 443 from 10.0.0.0/8"]);
    record.superseding = Superseding::Ignore;
    let plan = plan(&record, &live(&["all from 0.0.0.0/0"]), &BTreeSet::new());
    assert_eq!((plan.missing.len(), plan.superseded.len()), (1, 0));
}

#[test]
fn a_rule_presumed_absent_is_missing_although_the_read_shows_it() {
    let rule = "tcp 443 from 10.0.0.0/8";
    let plan = plan(
        &record(&[rule]),
        &live(&[rule]),
        &BTreeSet::from([key(rule)]),
    );
    assert_eq!(plan.missing.len(), 1);
    assert!(plan.unexpected.is_empty());
}

#[test]
fn live_rules_outside_the_record_are_unexpected_and_so_are_those_that_cannot_be_read() {
    let mut actual = live(&["tcp 22 from 0.0.0.0/0", "tcp 443 from 10.0.0.0/8"]);
    actual
        .unrecognised
        .push("sgr-0a (not understood)".to_owned());
    let plan = plan(
        &record(&["tcp 443 from 10.0.0.0/8"]),
        &actual,
        &BTreeSet::new(),
    );
    assert_eq!(
        plan.unexpected,
        ["tcp 22 from 0.0.0.0/0", "sgr-0a (not understood)"]
    );
}

#[test]
fn a_pause_is_named_before_observing_and_ends_by_itself() {
    let mut record = record(&[]);
    let nobody = SharedSettings::default();
    record.mode = Mode::Observe;
    record.pause = Some(crate::desired::Pause {
        until: crate::fakes::now(),
        reason: Some("migration".to_owned()),
    });
    let before: Timestamp = "2026-11-22T09:30:01Z".parse().expect("a time");
    let hold = Hold::of(&record, &nobody, Mode::Enforce, before).expect("paused");
    assert_eq!(
        hold.reason(),
        "paused until 2026-11-22T09:30:02Z: migration"
    );
    assert_eq!(
        Hold::of(&record, &nobody, Mode::Enforce, crate::fakes::now()),
        Some(Hold::Observe)
    );
    record.mode = Mode::Enforce;
    assert_eq!(
        Hold::of(&record, &nobody, Mode::Enforce, crate::fakes::now()),
        None
    );
    assert_eq!(
        Hold::of(&record, &nobody, Mode::Observe, crate::fakes::now()),
        Some(Hold::DryRun)
    );
}

#[test]
fn of_a_groups_own_pause_and_that_of_all_groups_the_longer_one_counts() {
    let pause = |until: &str, reason: &str| crate::desired::Pause {
        until: until.parse().expect("a time"),
        reason: Some(reason.to_owned()),
    };
    let now = crate::fakes::now();
    let hold = |own: Option<&str>, all: &str| {
        let mut record = record(&[]);
        record.pause = own.map(|until| pause(until, "own"));
        let shared = SharedSettings {
            pause: Some(pause(all, "game day")),
            ..SharedSettings::default()
        };
        Hold::of(&record, &shared, Mode::Enforce, now).map(|hold| hold.reason())
    };
    let all = "paused until 2026-11-22T11:00:00Z: every group is paused: game day";
    assert_eq!(hold(None, "2026-11-22T11:00:00Z").as_deref(), Some(all));
    assert_eq!(
        hold(Some("2026-11-22T10:00:00Z"), "2026-11-22T11:00:00Z").as_deref(),
        Some(all)
    );
    let own = "paused until 2026-11-22T12:00:00Z: own";
    assert_eq!(
        hold(Some("2026-11-22T12:00:00Z"), "2026-11-22T11:00:00Z").as_deref(),
        Some(own)
    );
    assert_eq!(hold(None, "2026-11-22T09:30:02Z"), None, "it has ended");
}

fn any_rule() -> impl Strategy<Value = String> {
    let ports = (0u16..4, 0u16..4).prop_map(|(from, more)| format!("tcp {from}-{}", from + more));
    let protocol =
        prop_oneof![3 => ports, 1 => Just("all".to_owned()), 1 => Just("icmp 8/-1".to_owned())];
    let source = prop_oneof![
        (28u8..=32, any::<u8>()).prop_map(|(len, last)| format!("10.0.0.{last}/{len}")),
        (126u8..=128, 0u8..8).prop_map(|(len, last)| format!("2001:db8::{last}/{len}")),
        (0u8..3).prop_map(|n| format!("sg-0{n}")),
    ];
    (protocol, source).prop_map(|(protocol, source)| format!("{protocol} from {source}"))
}

proptest! {
    #[test]
    fn notation_round_trips(rule in any_rule()) {
        let key = key(&rule);
        prop_assert_eq!(key.to_string().parse::<RuleKey>(), Ok(key));
    }

    #[test]
    fn a_plan_stays_within_the_record_and_outside_what_is_live(
        desired in prop::collection::vec(any_rule(), 0..12),
        actual in prop::collection::vec(any_rule(), 0..12),
    ) {
        let desired: Vec<&str> = desired.iter().map(String::as_str).collect();
        let actual: Vec<&str> = actual.iter().map(String::as_str).collect();
        let (record, actual) = (record(&desired), live(&actual));
        let plan = plan(&record, &actual, &BTreeSet::new());
        for rule in &plan.missing {
            prop_assert!(record.rules.contains_key(&rule.key) && !actual.contains(&rule.key));
        }
        // No rule is lost: every rule of the record is live, missing or superseded.
        let live_count = record.rules.keys().filter(|key| actual.contains(key)).count();
        prop_assert_eq!(live_count + plan.missing.len() + plan.superseded.len(), record.rules.len());
    }

    #[test]
    fn carrying_a_plan_out_leaves_nothing_to_plan(
        desired in prop::collection::vec(any_rule(), 0..12),
        actual in prop::collection::vec(any_rule(), 0..12),
    ) {
        let desired: Vec<&str> = desired.iter().map(String::as_str).collect();
        let record = record(&desired);
        let texts: Vec<&str> = actual.iter().map(String::as_str).collect();
        let first = plan(&record, &live(&texts), &BTreeSet::new());
        let after = texts.iter().map(|text| (*text).to_owned());
        let after: Vec<String> = after.chain(first.missing.iter().map(|rule| rule.key.to_string())).collect();
        let texts: Vec<&str> = after.iter().map(String::as_str).collect();
        let second = plan(&record, &live(&texts), &BTreeSet::new());
        prop_assert!(second.missing.is_empty(), "{:?}", second.missing);
        prop_assert_eq!(second.superseded, first.superseded);
    }

    #[test]
    fn covering_agrees_with_trying_every_port_and_address(
        wanted in any_rule(),
        others in prop::collection::vec(any_rule(), 0..8),
    ) {
        let wanted = key(&wanted);
        let others: Vec<RuleKey> = others.iter().map(|rule| key(rule)).collect();
        let by_trying = points(&wanted).into_iter().all(|point| others.iter().any(|rule| points_allow(rule, &point)));
        prop_assert_eq!(covering(&wanted, &others).is_some(), by_trying, "{} by {:?}", wanted, others);
    }
}

/// One packet: a protocol, one port or message number, and an address or a group. It is a rule of a single point.
type Point = (String, u32, String);

/// Every packet that a rule of [`any_rule`] allows, among those that the generator can make.
fn points(rule: &RuleKey) -> Vec<Point> {
    use crate::model::{Protocol, Source};
    let numbers: Vec<(String, u32)> = match rule.protocol {
        Protocol::All => vec![("any other protocol".to_owned(), 0)],
        protocol => protocol
            .span()
            .map(|number| (protocol.name(), number))
            .collect(),
    };
    let places: Vec<String> = match &rule.source {
        Source::Ipv4(net) => (u32::from(net.network())..=u32::from(net.broadcast()))
            .map(|a| a.to_string())
            .collect(),
        Source::Ipv6(net) => (u128::from(net.network())..=u128::from(net.broadcast()))
            .map(|a| format!("v6 {a}"))
            .collect(),
        other => vec![other.to_string()],
    };
    let pairs = numbers.iter().flat_map(|(name, number)| {
        places
            .iter()
            .map(move |place| (name.clone(), *number, place.clone()))
    });
    pairs.collect()
}

fn points_allow(rule: &RuleKey, point: &Point) -> bool {
    use crate::model::Protocol;
    let whole = RuleKey {
        protocol: Protocol::All,
        source: rule.source.clone(),
    };
    let place_matches = points(&whole).iter().any(|(_, _, place)| *place == point.2);
    let protocol_matches = match rule.protocol {
        Protocol::All => true,
        protocol => protocol.name() == point.0 && protocol.span().contains(&point.1),
    };
    place_matches && protocol_matches
}
