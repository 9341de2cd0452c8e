//! Events, with the record, the state and the settings that they meet: a payload is read into an intent and a group is
//! reconciled, on the fakes.

use std::collections::BTreeSet;
use std::time::Duration;

use rulekeeper_core::desired::DesiredRecord;
use rulekeeper_core::event::{Call, GroupLocator, Intent, Lookup, intent};
use rulekeeper_core::fakes::{FakeEc2, FakeTable, account, group, now, world};
use rulekeeper_core::model::{IngressRule, RuleKey, Tags};
use rulekeeper_core::ports::Budget;
use rulekeeper_core::reconcile::{MissingReferences, reconcile};
use rulekeeper_core::report::{GroupOutcome, REPORT_BYTES_MAX};
use serde_json::{Value, json};

/// The document is an event, or a story: `events`, and what they meet (`record`, `state`, `settings`, `live`, `gone`,
/// `quota`).
pub(crate) fn check(input: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Value>(input) else {
        return;
    };
    assert_eq!(intent(&document), intent(&document));
    let usual = usual();
    let told = |name: &str| match document.get("events") {
        Some(_) => document.get(name).unwrap_or(&usual[name]).clone(),
        None => usual[name].clone(),
    };
    let events = match document.get("events") {
        Some(Value::Array(events)) => events.clone(),
        Some(event) => vec![event.clone()],
        None => vec![document.clone()],
    };
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::default());
    table.put(group(), told("record"));
    if !told("state").is_null() {
        let mut states = table.states.lock().expect("nobody panicked");
        states.insert(group(), told("state"));
    }
    table.archive().settings = Some(told("settings")).filter(|it| !it.is_null());
    let texts = |name: &str| -> Vec<String> {
        let value = told(name);
        let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let texts = list.iter().filter_map(Value::as_str).map(str::to_owned);
        texts.collect()
    };
    {
        let mut state = ec2.state();
        for rule in texts("live").iter().filter_map(|it| it.parse().ok()) {
            state.add(&rule, None, Tags::new());
        }
        let gone = texts("gone");
        let exist = ["sg-0a", "sg-0123456789abcdef0", "sg-0fedcba9876543210"];
        let exist = exist.iter().filter(|id| !gone.iter().any(|it| it == *id));
        state.groups.extend(exist.filter_map(|id| id.parse().ok()));
        if gone.contains(&"self".to_owned()) {
            state.groups.remove(&group().id);
        }
        state
            .prefix_lists
            .extend([("pl-0a".parse().expect("a list"), 2)]);
        state
            .default_vpc_groups
            .insert("web".to_owned(), group().id);
        let quota = told("quota").as_u64();
        state.quota = quota.and_then(|it| usize::try_from(it).ok()).unwrap_or(60);
    }
    for event in events.iter().take(8) {
        let Intent::Reconcile(mut lookup) = intent(event) else {
            continue;
        };
        lookup.scope = group().scope;
        if matches!(lookup.group, GroupLocator::Id(_)) {
            lookup.group = GroupLocator::Id(group().id);
        }
        handled(&ec2, &table, &lookup);
        let live = live(&ec2);
        handled(&ec2, &table, &lookup);
        assert_eq!(live, self::live(&ec2), "the same event again changes rules");
    }
}

fn usual() -> Value {
    json!({
        "record": {
            "schema": 1, "generation": 7, "mode": "enforce",
            "principals": [
                {"arn": "arn:aws:iam::111122223333:role/*", "policy": "accept"},
                {"arn": "arn:aws:iam::444455556666:role/*", "policy": "follow"},
            ],
            "rules": [
                {"protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_ipv4": "10.0.0.0/8", "description": "office"},
                {"protocol": "tcp", "from_port": 80, "to_port": 90, "referenced_group": {"group_id": "sg-0a"}, "priority": 1},
                {"protocol": "icmp", "from_port": 8, "to_port": -1, "cidr_ipv4": "10.0.0.0/8"},
                {"protocol": "-1", "prefix_list_id": "pl-0a", "tags": {"team": "web"}},
                {"protocol": "50", "cidr_ipv6": "::/0"},
            ],
        },
        "live": ["tcp 22 from 0.0.0.0/0"],
    })
}

fn live(ec2: &FakeEc2) -> BTreeSet<RuleKey> {
    ec2.state().live.keys().cloned().collect()
}

fn recorded(table: &FakeTable) -> Option<DesiredRecord> {
    let items = table.items.lock().expect("nobody panicked");
    let reading = DesiredRecord::from_json(items.get(&group())?, &account());
    reading.ok().map(|reading| reading.record)
}

/// Reconciles the group once, and holds what became of it against its record.
fn handled(ec2: &FakeEc2, table: &FakeTable, lookup: &Lookup) {
    let (record, before) = (recorded(table), live(ec2));
    let asked_before = ec2.state().asked.len();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let missing = MissingReferences::default();
    let result = runtime.expect("a runtime").block_on(async {
        let budget = Budget::of(Duration::from_secs(30));
        reconcile(world(ec2, table, &missing), lookup, budget).await
    });
    let report = &result.report;
    let size = serde_json::to_vec(&*report.capped()).map(|text| text.len());
    assert!(size.expect("JSON") <= REPORT_BYTES_MAX, "too long");
    assert!(!report.reason.is_empty());

    let closed = record.as_ref().is_none_or(|record| {
        let observes = record.mode == rulekeeper_core::desired::Mode::Observe;
        observes || record.pause.as_ref().is_some_and(|it| it.until > now())
    });
    let asked: Vec<String> = ec2.state().asked[asked_before..].concat();
    if closed {
        assert!(asked.is_empty(), "asked for {asked:?} by no valid record");
    }
    let rules = record.map(|record| record.rules).unwrap_or_default();
    for rule in &asked {
        let is_recorded = rules.keys().any(|recorded| recorded.to_string() == *rule);
        assert!(is_recorded, "{rule} is asked for and not recorded");
    }
    for (key, rule) in &ec2.state().live {
        let recorded = rules
            .get(key)
            .map(|it: &IngressRule| (&it.description, &it.tags));
        if !before.contains(key) {
            let made = (&rule.description, &rule.tags);
            assert_eq!(Some(made), recorded, "{key} is not as recorded");
        }
    }

    // Nothing is dropped in silence. Calls that take nothing away need no look.
    let looked = lookup.call.is_none_or(Call::drops_rules)
        && ![
            GroupOutcome::Ignored,
            GroupOutcome::Unmanaged,
            GroupOutcome::Failed,
        ]
        .contains(&report.outcome);
    let kept = recorded(table)
        .map(|record| record.rules)
        .unwrap_or_default();
    for rule in rules.keys().filter(|_| looked) {
        let told = report.rules.iter().any(|line| line.rule == *rule)
            || report.pending.contains(rule)
            || report.unrestorable.contains(rule)
            || report
                .changes
                .iter()
                .any(|change| change.removed.contains(rule))
                && !kept.contains_key(rule);
        assert!(
            told || live(ec2).contains(rule),
            "{rule} is missing, and the report does not say so: {report:?}"
        );
    }
}
