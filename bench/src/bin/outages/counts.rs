//! Counts API calls by caller, and how often rulekeeper restored a rule that the same principal had revoked.

use std::collections::{BTreeMap, BTreeSet};

use rulekeeper_bench::journal::{api_calls, is_by_function, is_function};
use rulekeeper_local::Cloud;
use serde_json::Value;

use crate::rules::Rule;

/// The counts of a replay.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// EC2 calls of the principal that revokes, about the group.
    pub(crate) principal: usize,
    /// EC2 calls of rulekeeper about the group.
    pub(crate) ec2: usize,
    /// DynamoDB calls of rulekeeper; those for events of other groups are left out.
    pub(crate) table: usize,
    /// How often rulekeeper restored a rule after a principal had revoked it.
    restores: BTreeMap<(String, Rule), usize>,
    /// Rules that rulekeeper reported as contested.
    contested: BTreeSet<String>,
}

impl Counts {
    /// Counts in the stack's journal, in CloudTrail's records and in the function's reports.
    pub(crate) fn of(cloud: &Cloud, group: &str, principal: &str, reports: &[Value]) -> Self {
        let mut counts = Self {
            restores: restores(&cloud.records(), group),
            ..Self::default()
        };
        for call in cloud.calls() {
            let about_group = call.group.as_deref() == Some(group);
            match (call.service.as_str(), is_function(&call.principal)) {
                ("ec2", true) => counts.ec2 += 1,
                ("dynamodb", true) => counts.table += 1,
                ("ec2", false) if call.principal == principal && about_group => {
                    counts.principal += 1
                }
                _ => {}
            }
        }
        for report in reports {
            let about_other = report["group"]["id"].is_string() && report["group"]["id"] != *group;
            // A deleted group may be one to which the record refers.
            if about_other && report["trigger"]["event_name"] != "DeleteSecurityGroup" {
                // For a group without a record, rulekeeper calls the table only.
                counts.table -= usize::try_from(api_calls(report))
                    .unwrap_or(0)
                    .min(counts.table);
            }
            let rules = report["rules"].as_array().into_iter().flatten();
            let contested = rules.filter(|rule| rule["outcome"] == "contested");
            let names = contested.filter_map(|rule| rule["rule"].as_str());
            counts.contested.extend(names.map(str::to_owned));
        }
        counts
    }

    /// `no`, or why it is a fight: rules are contested, or a rule was restored more than once after the same principal had
    /// revoked it.
    pub(crate) fn fight(&self) -> String {
        let most = self.restores.values().copied().max().unwrap_or(0);
        match (self.contested.len(), most) {
            (0, 0 | 1) => "no".to_owned(),
            (0, most) => format!("yes: {most} restores"),
            (_, most) => format!("yes: contested after {most} restores"),
        }
    }
}

fn restores(records: &[Value], group: &str) -> BTreeMap<(String, Rule), usize> {
    let (mut revoked_by, mut restores) = (BTreeMap::new(), BTreeMap::new());
    let successful = records.iter().filter(|record| {
        record["errorCode"].is_null() && record["requestParameters"]["groupId"] == *group
    });
    for record in successful {
        let by = record["userIdentity"]["arn"].as_str().unwrap_or_default();
        for rule in Rule::of_set(record, "revokedSecurityGroupRuleSet") {
            revoked_by.insert(rule, by.to_owned());
        }
        for rule in Rule::of_set(record, "securityGroupRuleSet") {
            if let Some(revoker) = revoked_by.remove(&rule).filter(|_| is_by_function(record)) {
                *restores.entry((revoker, rule)).or_default() += 1;
            }
        }
    }
    restores
}
