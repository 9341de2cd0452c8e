//! Checks that hold for every story: each rule of the record is live or reported, and rulekeeper made no call that it may
//! not make. They read the table, the live group, CloudTrail's records and the journal of calls.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use rulekeeper_bench::Result;
use rulekeeper_bench::client::dynamodb;
use rulekeeper_bench::journal::{is_by_function, is_function};
use rulekeeper_bench::stack::TABLE;
use rulekeeper_local::{Cloud, Stack};
use serde_json::Value;

use crate::rules::{Rule, list, tcp};

/// The EC2 calls that rulekeeper may make.
const ALLOWED_CALLS: [&str; 3] = [
    "AuthorizeSecurityGroupIngress",
    "DescribeSecurityGroupRules",
    "DescribeSecurityGroups",
];

/// A generation of the record.
#[derive(Debug)]
pub(crate) struct Generation {
    number: u64,
    author: String,
    reason: String,
    rules: BTreeSet<Rule>,
}

impl Generation {
    fn read(item: &HashMap<String, AttributeValue>) -> Option<Self> {
        let text = |name: &str| {
            let value = item.get(name).and_then(|value| value.as_s().ok());
            value.cloned().unwrap_or_default()
        };
        let rules = item.get("rules")?.as_l().ok()?.iter();
        Some(Self {
            number: number(item, "generation")?,
            author: text("updated_by"),
            // The CLI writes a note and not a reason.
            reason: text("reason") + &text("note"),
            rules: rules.map(recorded).collect::<Option<_>>()?,
        })
    }
}

fn number<N: std::str::FromStr>(item: &HashMap<String, AttributeValue>, name: &str) -> Option<N> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn recorded(entry: &AttributeValue) -> Option<Rule> {
    let entry = entry.as_m().ok()?;
    let source = match entry.get("cidr_ipv4") {
        Some(range) => range,
        None => entry
            .get("referenced_group")?
            .as_m()
            .ok()?
            .get("group_id")?,
    };
    let source = source.as_s().ok()?;
    Some(tcp(
        number(entry, "from_port")?,
        number(entry, "to_port")?,
        source,
    ))
}

/// All generations of a group's record, the newest last.
///
/// # Errors
/// When the table cannot be read, or an item is not a record of TCP rules.
pub(crate) async fn generations(stack: &Stack, group: &str) -> Result<Vec<Generation>> {
    let cloud = stack.cloud();
    let client = dynamodb(stack);
    let scope = format!("{}#{}", cloud.account(), cloud.region());
    let mut generations = Vec::new();
    for (pk, sk) in [
        (format!("history#{scope}#{group}"), ""),
        (format!("desired#{scope}"), group),
    ] {
        let call = client.query().table_name(TABLE).consistent_read(true);
        let call = call
            .key_condition_expression("pk = :pk AND sk >= :sk")
            .expression_attribute_values(":pk", AttributeValue::S(pk))
            // A key must not be empty; a space sorts before all keys.
            .expression_attribute_values(":sk", AttributeValue::S(format!("{sk:1}")));
        let items = call.send().await?.items;
        for item in items.unwrap_or_default() {
            let generation = Generation::read(&item);
            generations
                .push(generation.ok_or("the table holds a record that is not of TCP rules")?);
        }
    }
    generations.sort_by_key(|generation| generation.number);
    Ok(generations)
}

/// Everything that is wrong with the rules of the record and with the calls of rulekeeper.
pub(crate) fn findings(
    cloud: &Cloud,
    group: &str,
    generations: &[Generation],
    live: &BTreeSet<Rule>,
    reports: &[Value],
) -> Vec<String> {
    let mut findings = lost_rules(group, generations, live, reports);
    let recorded: BTreeSet<&Rule> = generations.iter().flat_map(|it| &it.rules).collect();
    for record in cloud.records().iter().filter(|it| is_by_function(it)) {
        let authorized = Rule::of_set(record, "securityGroupRuleSet");
        let foreign: Vec<&Rule> = authorized
            .iter()
            .filter(|it| !recorded.contains(it))
            .collect();
        if !foreign.is_empty() {
            let rules = list(foreign);
            findings.push(format!(
                "rulekeeper authorized rules that no generation has: {rules}"
            ));
        }
    }
    let calls = cloud.calls();
    let ours = calls
        .iter()
        .filter(|call| call.service == "ec2" && is_function(&call.principal));
    let wrong = ours.filter(|call| !ALLOWED_CALLS.contains(&call.action.as_str()));
    findings.extend(wrong.map(|call| format!("rulekeeper called {}", call.action)));
    findings
}

/// What rulekeeper authorized in a story in which nothing is lost and somebody decides.
pub(crate) fn opened_again(cloud: &Cloud) -> Option<String> {
    let records = cloud.records().into_iter();
    let own = records.filter(is_by_function);
    let opened = own.flat_map(|record| Rule::of_set(&record, "securityGroupRuleSet"));
    let opened: BTreeSet<Rule> = opened.collect();
    (!opened.is_empty()).then(|| format!("rulekeeper opened what was closed: {}", list(&opened)))
}

/// How the newest generation differs from the live rules.
pub(crate) fn unlike_the_record(
    generations: &[Generation],
    live: &BTreeSet<Rule>,
) -> Option<String> {
    let recorded = &generations.last()?.rules;
    (recorded != live).then(|| {
        let (recorded, live) = (list(recorded), list(live));
        format!("the record holds {recorded}; live are {live}")
    })
}

/// Rules that left the record without an author and a reason, and rules of the newest generation that are neither live nor
/// reported.
fn lost_rules(
    group: &str,
    generations: &[Generation],
    live: &BTreeSet<Rule>,
    reports: &[Value],
) -> Vec<String> {
    let mut findings = Vec::new();
    for pair in generations.windows(2) {
        let [before, after] = pair else { continue };
        let removed: Vec<&Rule> = before.rules.difference(&after.rules).collect();
        if !removed.is_empty() && (after.author.is_empty() || after.reason.is_empty()) {
            findings.push(format!(
                "{} removed in generation {} without an author or a reason",
                list(removed),
                after.number
            ));
        }
    }
    let Some(newest) = generations.last() else {
        return vec!["there is no record".to_owned()];
    };
    let of_group = |report: &&Value| report["group"]["id"] == group;
    let last = reports.iter().rfind(of_group);
    if last.is_some_and(|report| report["outcome"] == "orphaned") {
        // The group is gone, and its rules with it.
        return findings;
    }
    let last = last_outcomes(reports);
    for rule in newest.rules.difference(live) {
        let accounted = match last.get(rule) {
            Some((outcome, reason)) => {
                let open = ["superseded", "held", "contested", "failed"];
                open.contains(&outcome.as_str()) && !reason.is_empty()
            }
            None => false,
        };
        if !accounted {
            let last = last.get(rule);
            findings.push(format!(
                "{rule} is in the record and not live; the last report of it is {last:?}"
            ));
        }
    }
    findings
}

/// The outcome and the reason of each rule in the last report that has it.
fn last_outcomes(reports: &[Value]) -> BTreeMap<Rule, (String, String)> {
    let rules = reports.iter().filter_map(|it| it["rules"].as_array());
    let outcomes = rules.flatten().filter_map(|line| {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        Some((
            Rule::parse(line["rule"].as_str()?)?,
            (text("outcome"), text("reason")),
        ))
    });
    outcomes.collect()
}
