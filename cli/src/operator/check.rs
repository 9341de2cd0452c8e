//! Which recorded rules could not come back if they were dropped now.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{OperatorError, read, recorded};
use rulekeeper_core::decide::guardrail::Guardrails;
use rulekeeper_core::decide::restorable::Unrestorable;
use rulekeeper_core::desired::DesiredRecord;
use rulekeeper_core::model::{ActualRules, GroupAddress, GroupId, RuleKey, Scope};
use rulekeeper_core::ports::{GROUPS_PER_READ, SecurityGroups, Table};
use rulekeeper_core::reconcile::Outlook;
use rulekeeper_core::sweep::Progress;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checks {
    /// How many records were looked at.
    pub checked: usize,
    /// The groups with rules that could not come back, and those of which nothing can be said.
    pub groups: Vec<CheckedGroup>,
    /// What the function found when it last tried whether its role may authorize and tag, if it may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What could not be looked up. Of it nothing is said.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown: BTreeSet<String>,
}

/// A group with rules that could not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedGroup {
    /// The group's id, as it stands in the table.
    pub group: String,
    /// Its name, if the record has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why nothing can be said of its rules: the record cannot be understood, or the group does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Its rules that could not come back.
    pub rules: Vec<CheckedRule>,
}

/// A rule that could not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedRule {
    /// The rule.
    pub rule: RuleKey,
    /// Whether it is live now.
    pub live: bool,
    /// Why it could not.
    #[serde(flatten)]
    pub unrestorable: Unrestorable,
}

/// A record to look at.
struct Kept {
    id: GroupId,
    record: DesiredRecord,
}

/// Looks at the records of these groups, or at every record if none is named. For 200 groups: a read of their rules, and one
/// describe each for 200 referenced groups, for 200 prefix lists, and for groups without rules.
///
/// # Errors
/// When the table or the rules of groups cannot be read, or a named group has no record.
pub async fn check<E: SecurityGroups, T: Table>(
    (ec2, table): (&E, &T),
    (never, quota): (&Guardrails, u32),
    scope: &Scope,
    named: &[GroupId],
    progress: Progress<'_>,
) -> Result<Checks, OperatorError> {
    let (kept, unreadable) = records(table, scope, named).await?;
    let mut checks = Checks {
        checked: kept.len() + unreadable.len(),
        groups: unreadable,
        ..Checks::default()
    };
    let mut done = 0;
    for chunk in kept.chunks(GROUPS_PER_READ) {
        let ids: Vec<GroupId> = chunk.iter().map(|kept| kept.id.clone()).collect();
        let rules = chunk.iter().flat_map(|kept| kept.record.rules.keys());
        let (live, outlook) = tokio::join!(ec2.ingress_rules(&ids), Outlook::of(ec2, never, rules));
        let live = live?;
        let gone = gone(ec2, &ids, &live).await?;
        checks.unknown.extend(outlook.unknown.iter().cloned());
        let nothing = ActualRules::default();
        for Kept { id, record } in chunk {
            let actual = live.get(id).unwrap_or(&nothing);
            let found = outlook.unrestorable(never, quota, record, actual);
            let problem = gone
                .contains(id)
                .then(|| "the group does not exist, or these credentials cannot see it".to_owned());
            if found.is_empty() && problem.is_none() {
                continue;
            }
            checks.groups.push(CheckedGroup {
                group: id.to_string(),
                name: record.name.clone(),
                problem,
                rules: lines(found, actual),
            });
        }
        done += chunk.len();
        progress(done, kept.len());
    }
    checks
        .groups
        .sort_by(|one, other| one.group.cmp(&other.group));
    Ok(checks)
}

fn lines(found: BTreeMap<RuleKey, Unrestorable>, actual: &ActualRules) -> Vec<CheckedRule> {
    let lines = found.into_iter().map(|(rule, unrestorable)| CheckedRule {
        live: actual.contains(&rule),
        rule,
        unrestorable,
    });
    lines.collect()
}

/// The records that can be understood, and a line for each of the others.
async fn records<T: Table>(
    table: &T,
    scope: &Scope,
    named: &[GroupId],
) -> Result<(Vec<Kept>, Vec<CheckedGroup>), OperatorError> {
    let (mut kept, mut unreadable) = (Vec::new(), Vec::new());
    let address = |id: &GroupId| GroupAddress {
        scope: scope.clone(),
        id: id.clone(),
    };
    if !named.is_empty() {
        for id in BTreeSet::from_iter(named) {
            let (_, record) = recorded(table, &address(id)).await?;
            let id = id.clone();
            kept.push(Kept { id, record });
        }
        return Ok((kept, unreadable));
    }
    for (name, item) in table.all_desired(scope).await? {
        let id = name.parse::<GroupId>().map_err(|error| error.to_string());
        let read = id.and_then(|id| match read(&address(&id), &item) {
            Ok(record) => Ok(Kept { id, record }),
            Err(error) => Err(error.to_string()),
        });
        match read {
            Ok(read) => kept.push(read),
            Err(problem) => unreadable.push(CheckedGroup {
                group: name,
                name: None,
                problem: Some(problem),
                rules: Vec::new(),
            }),
        }
    }
    Ok((kept, unreadable))
}

/// The groups that do not exist. A read of such a group looks like one of an empty group.
pub(super) async fn gone<E: SecurityGroups>(
    ec2: &E,
    ids: &[GroupId],
    live: &BTreeMap<GroupId, ActualRules>,
) -> Result<BTreeSet<GroupId>, OperatorError> {
    let is_bare = |id: &&GroupId| {
        live.get(*id)
            .is_none_or(|live| live.iter().next().is_none())
    };
    let bare: BTreeSet<GroupId> = ids.iter().filter(is_bare).cloned().collect();
    if bare.is_empty() {
        return Ok(bare);
    }
    let existing = ec2.existing_groups(&bare).await?;
    let gone = bare.into_iter().filter(|id| !existing.contains_key(id));
    Ok(gone.collect())
}

#[cfg(test)]
mod tests {
    use rulekeeper_core::fakes::{FakeEc2, FakeTable, group, record};
    use serde_json::json;

    use super::*;

    const OFFICE: &str = "tcp 443 from 10.0.0.0/8";
    const GONE: &str = "tcp 80 from sg-0bad";
    const SSH: &str = "tcp 22 from 0.0.0.0/0";

    async fn checked(ec2: &FakeEc2, table: &FakeTable, named: &[GroupId]) -> Checks {
        let never = SSH.parse().expect("guardrails");
        let scope = group().scope;
        let checks = check((ec2, table), (&never, 60), &scope, named, &|_, _| {});
        checks.await.expect("everything can be read")
    }

    #[tokio::test]
    async fn what_could_not_come_back_is_told_with_its_reason_live_or_not() {
        let table = FakeTable::with(&record(&[OFFICE, GONE, SSH]));
        let ec2 = FakeEc2::new(&[OFFICE, GONE]);
        let checks = checked(&ec2, &table, &[]).await;
        let document = serde_json::to_value(&checks).expect("JSON");
        let rules = document.pointer("/groups/0/rules").expect("rules");
        let of = |place: usize, name: &str| rules[place][name].clone();
        assert_eq!(
            [of(0, "rule"), of(0, "why"), of(0, "live")],
            [json!(SSH), json!("guardrail"), json!(false)]
        );
        assert_eq!(
            [of(1, "rule"), of(1, "why"), of(1, "live")],
            [json!(GONE), json!("reference_gone"), json!(true)]
        );
        assert_eq!(
            (checks.checked, rules.as_array().map(Vec::len)),
            (1, Some(2))
        );
        assert_eq!(ec2.called("DescribeSecurityGroups"), 1);
    }

    #[tokio::test]
    async fn a_fleet_costs_a_read_and_a_describe_for_two_hundred_groups() {
        let table = FakeTable::default();
        for number in 0..250 {
            let mut address = group();
            address.id = format!("sg-0{number:04}").parse().expect("an id");
            table.put(address, record(&[GONE]).to_json().into());
        }
        let ec2 = FakeEc2::new(&[]);
        let checks = checked(&ec2, &table, &[]).await;
        assert_eq!((checks.checked, checks.groups.len()), (250, 250));
        assert_eq!(ec2.called("DescribeSecurityGroupRules"), 2);
        // One for what is referred to, and one for the groups, which have no rule.
        assert_eq!(ec2.called("DescribeSecurityGroups"), 4);
    }

    #[tokio::test]
    async fn a_named_group_without_a_record_is_an_error() {
        let (ec2, table) = (FakeEc2::new(&[]), FakeTable::default());
        let scope = group().scope;
        let never = Guardrails::default();
        let named = [group().id];
        let checks = check((&ec2, &table), (&never, 60), &scope, &named, &|_, _| {}).await;
        assert!(matches!(checks, Err(OperatorError::NoRecord(_))));
    }
}
