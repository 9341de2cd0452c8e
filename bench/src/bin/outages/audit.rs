//! What has to hold after every replay, whatever its story: no rule is lost without a word, and rulekeeper did nothing that
//! it may not do. Read from the table, from the live group, from CloudTrail's records and from the journal of calls.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use rulekeeper_bench::Result;
use rulekeeper_bench::client::dynamodb;
use rulekeeper_bench::journal::{is_by_function, is_function};
use rulekeeper_bench::stack::TABLE;
use rulekeeper_local::{Cloud, Stack};
use serde_json::Value;

use crate::rules::{Rule, list, tcp};

/// What rulekeeper may ask EC2 for.
const ALLOWED_CALLS: [&str; 3] = [
    "AuthorizeSecurityGroupIngress",
    "DescribeSecurityGroupRules",
    "DescribeSecurityGroups",
];

/// One generation of the record.
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
            // Whoever writes through the CLI leaves a note instead.
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

/// All generations of a group's record, the present one last.
///
/// # Errors
/// When the table cannot be read, or holds something that is not a record of such rules.
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
            // An empty key is none, and everything comes after a space.
            .expression_attribute_values(":sk", AttributeValue::S(format!("{sk:1}")));
        let items = call.send().await?.items;
        for item in items.unwrap_or_default() {
            let generation = Generation::read(&item);
            generations.push(generation.ok_or("the table holds a record that cannot be read")?);
        }
    }
    generations.sort_by_key(|generation| generation.number);
    Ok(generations)
}

/// Everything that went wrong with the rules of the record and with what rulekeeper did.
pub(crate) fn findings(
    cloud: &Cloud,
    generations: &[Generation],
    live: &BTreeSet<Rule>,
    reports: &[Value],
) -> Vec<String> {
    let mut findings = lost_rules(generations, live, reports);
    let ever: BTreeSet<&Rule> = generations.iter().flat_map(|it| &it.rules).collect();
    for record in cloud.records().iter().filter(|it| is_by_function(it)) {
        let authorized = Rule::of_set(record, "securityGroupRuleSet");
        let foreign: Vec<&Rule> = authorized.iter().filter(|it| !ever.contains(it)).collect();
        if !foreign.is_empty() {
            let rules = list(foreign);
            findings.push(format!(
                "rulekeeper authorized what no generation held: {rules}"
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

/// Rules of any generation that are neither live nor accounted for.
fn lost_rules(generations: &[Generation], live: &BTreeSet<Rule>, reports: &[Value]) -> Vec<String> {
    let mut findings = Vec::new();
    for pair in generations.windows(2) {
        let [before, after] = pair else { continue };
        let left: Vec<&Rule> = before.rules.difference(&after.rules).collect();
        if !left.is_empty() && (after.author.is_empty() || after.reason.is_empty()) {
            findings.push(format!(
                "{} left in generation {} without an author or a reason",
                list(left),
                after.number
            ));
        }
    }
    let Some(present) = generations.last() else {
        return vec!["there is no record any more".to_owned()];
    };
    let said = last_outcomes(reports);
    for rule in present.rules.difference(live) {
        let told = match said.get(rule) {
            Some((outcome, reason)) => {
                let open = ["superseded", "held", "contested", "failed"];
                open.contains(&outcome.as_str()) && !reason.is_empty()
            }
            None => false,
        };
        if !told {
            let said = said.get(rule);
            findings.push(format!(
                "{rule} is in the record and not live, and the last report says {said:?}"
            ));
        }
    }
    findings
}

/// What the last report that mentions a rule says of it, and why.
fn last_outcomes(reports: &[Value]) -> BTreeMap<Rule, (String, String)> {
    let rules = reports.iter().filter_map(|it| it["rules"].as_array());
    let said = rules.flatten().filter_map(|line| {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        Some((
            Rule::parse(line["rule"].as_str()?)?,
            (text("outcome"), text("reason")),
        ))
    });
    said.collect()
}
