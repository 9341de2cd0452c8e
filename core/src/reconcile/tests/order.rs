//! The order of events does not matter: every order of the same events ends with the same record.

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::decide::plan::plan;
use crate::desired::{DesiredRecord, Policy, Principal};
use crate::event::{Evidence, GroupLocator, Trigger};
use crate::model::RuleKey;
use jiff::Timestamp;

const RULES: [&str; 7] = [
    "tcp 80-90 from 10.0.0.0/8",
    "tcp 80-99 from 10.0.0.0/8",
    "tcp 443 from 10.0.0.0/8",
    "udp 53 from ::/0",
    "tcp 85 from 10.0.0.0/8",
    "tcp 22 from 192.0.2.0/24",
    "tcp 20-25 from 192.0.2.0/24",
];

const STEPS_MAX: usize = 9;

/// The listed principals and their rules. If several of them changed the same rule, the result could depend on which
/// decision comes first.
const LISTED: [(&str, Policy, &[usize]); 3] = [
    ("lbc", Policy::Follow, &[0, 1, 4]),
    ("ack", Policy::Follow, &[2, 5]),
    ("terraform", Policy::Accept, &[3, 6]),
];

/// A principal that is not listed. It changes the rules of all others.
const SOMEBODY: (&str, &[usize]) = ("somebody", &[0, 1, 2, 3, 4, 5, 6]);

#[derive(Debug, Clone)]
enum ObservedCall {
    Revoke(Vec<usize>),
    Authorize(Vec<usize>),
    RefusedAuthorize,
}

/// Who does what, and how many seconds after the previous step.
#[derive(Debug, Clone)]
struct Step {
    by: &'static str,
    observed: ObservedCall,
    after: i64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let actors = LISTED.map(|(by, _, rules)| (by, rules));
    let actor = select([actors.as_slice(), &[SOMEBODY]].concat());
    let step = actor.prop_flat_map(|(by, own)| {
        let rules = || prop::collection::vec(select(own), 1..3);
        let observed = prop_oneof![
            4 => rules().prop_map(ObservedCall::Revoke),
            3 => rules().prop_map(ObservedCall::Authorize),
            1 => Just(ObservedCall::RefusedAuthorize),
        ];
        (observed, 1..40_i64).prop_map(move |(observed, after)| Step {
            by,
            observed,
            after,
        })
    });
    prop::collection::vec(step, 1..STEPS_MAX)
}

thread_local! {
    static START: Cell<Option<(Timestamp, Instant)>> = const { Cell::new(None) };
}

/// The paused clock of the test's runtime.
fn clock() -> Timestamp {
    let (at, instant) = START.get().expect("set");
    at + SignedDuration::try_from(instant.elapsed()).expect("small")
}

fn arn(role: &str) -> String {
    format!("arn:aws:iam::111122223333:role/{role}")
}

/// Applies every step to EC2 and returns the events.
fn done(steps: &[Step], ec2: &FakeEc2) -> Vec<Lookup> {
    let mut at = now() - SignedDuration::from_secs(400);
    let mut events = Vec::new();
    for step in steps {
        at += SignedDuration::from_secs(step.after);
        let mut evidence = Evidence::default();
        let mut state = ec2.state();
        let call = match &step.observed {
            ObservedCall::Revoke(rules) => {
                let keys = rules.iter().map(|rule| key(RULES[*rule]));
                let keys: BTreeSet<RuleKey> = keys.collect();
                if !keys.iter().all(|key| state.live.contains_key(key)) {
                    continue;
                }
                let gone = keys.into_iter().filter_map(|key| {
                    let id = state.live.remove(&key)?.id;
                    Some((key, id))
                });
                evidence.revoked = gone.collect();
                evidence.revoked_ids = evidence.revoked.values().flatten().cloned().collect();
                Call::Revoke
            }
            ObservedCall::Authorize(rules) => {
                let keys = rules.iter().map(|rule| key(RULES[*rule]));
                let keys: BTreeSet<RuleKey> = keys.collect();
                if keys.iter().any(|key| state.live.contains_key(key)) {
                    continue;
                }
                let made = keys.into_iter().map(|key| {
                    let id = state.add(&key, None, Default::default());
                    (key, Some(id))
                });
                evidence.authorized = made.collect();
                Call::Authorize
            }
            ObservedCall::RefusedAuthorize => Call::RefusedAuthorize,
        };
        events.push(Lookup {
            scope: group().scope,
            group: GroupLocator::Id(group().id),
            trigger: Trigger {
                event_time: Some(at),
                principal: Some(arn(step.by)),
                ..Trigger::default()
            },
            call: Some(call),
            evidence,
        });
    }
    events
}

/// Handles the events in the given order, some of them more than once, and sweeps until nothing can change any more.
/// Returns the rules of the record. Every one of them is live, or superseded by live rules outside the record. Which of
/// the two may depend on the order, because we never revoke.
async fn end(steps: &[Step], initial: &[&str], order: &[(usize, bool)]) -> Vec<String> {
    START.set(Some((now(), Instant::now())));
    let mut desired = record(initial);
    desired.principals = LISTED
        .map(|(role, policy, _)| Principal {
            arn: arn(role),
            policy,
            settle_seconds: None,
        })
        .to_vec();
    let (ec2, table) = (FakeEc2::new(initial), FakeTable::with(&desired));
    let mut events = done(steps, &ec2);
    let mut sequence = Vec::new();
    for (index, again) in order {
        let Some(index) = index.checked_rem(events.len()) else {
            break;
        };
        sequence.push(events[index].clone());
        if !again {
            events.remove(index);
        }
    }
    sequence.append(&mut events);
    let sweep = Lookup {
        scope: group().scope,
        group: GroupLocator::Id(group().id),
        trigger: Trigger::default(),
        call: None,
        evidence: Evidence::default(),
    };
    sequence.extend([sweep.clone(), sweep.clone()]);
    let missing = MissingReferences::default();
    for (number, lookup) in sequence.iter().enumerate() {
        if number + 1 == sequence.len() {
            tokio::time::advance(Duration::from_secs(16 * 60)).await;
        }
        let world = World {
            now: clock,
            ..world(&ec2, &table, &missing)
        };
        let report = reconcile(world, lookup, Budget::of(SECONDS_30)).await;
        assert!(!report.retryable, "{report:#?}");
    }
    let item = table.load(&group()).await.expect("a table").desired;
    let read = DesiredRecord::from_json(&item.expect("a record"), &crate::fakes::account());
    let recorded = read.expect("readable").record;
    let actual = ec2.rules_of(&group().id).await.expect("an answer");
    let plan = plan(&recorded, &actual, &BTreeSet::new());
    let states = table.states.lock().expect("not poisoned");
    let state = GroupState::of_item(states.get(&group()));
    // What a refused call asked for is not told here, so it may have been to narrow a rule that is public.
    let lost = |rule: &&crate::model::IngressRule| !state.pending.contains_key(&rule.key);
    assert!(!plan.missing.iter().any(|rule| lost(&rule)), "{plan:#?}");
    recorded.rules.keys().map(ToString::to_string).collect()
}

/// The cases are the same in every run.
#[test]
fn every_order_of_the_same_events_ends_the_same() {
    let config = ProptestConfig {
        cases: 300,
        failure_persistence: None,
        max_shrink_iters: 3000,
        ..ProptestConfig::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let cases = (
        steps(),
        prop::sample::subsequence(RULES.to_vec(), 0..=RULES.len()),
        prop::collection::vec(any::<(usize, bool)>(), STEPS_MAX),
    );
    let result = TestRunner::new_with_rng(config, rng).run(&cases, |(steps, initial, order)| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let told = [(0, false); STEPS_MAX];
        let expected = runtime.block_on(end(&steps, &initial, &told));
        let found = runtime.block_on(end(&steps, &initial, &order));
        prop_assert_eq!(expected, found);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
