//! Checks whether the function's role allows what the function needs.
//!
//! Only the function has its role, so `rulekeeper doctor` asks the function to try. A try changes nothing: an authorize
//! is always a dry run, and a write has a condition that is never true. As a second safeguard, the rule of a dry run is
//! one that the group's record holds, or the group cannot exist.
//!
//! A refusal by the condition, or of the dry run for being a dry run, proves the permission. EC2 documents this for
//! `DryRun` (EC2 API Reference), and gave this answer even without a group (`systeminit/si` #1862). That DynamoDB
//! checks the permission before the condition is inferred.

use std::future::Future;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::desired::DesiredRecord;
use crate::event::Examination;
use crate::function::Home;
use crate::model::{GroupAddress, GroupId, GroupRange, IngressRule, Scope};
use crate::ports::{ApiError, Budget, Calls, Clouds, Failure, Pace, SweepQueue, Table, Verdict};

mod sample;
#[cfg(test)]
mod tests;

use sample::Sample;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The checked thing works.
    Ok,
    /// It was not checked: something else must be fixed first, or it cannot be checked.
    Skipped,
    /// It works, but somebody may want to fix something.
    Warning,
    /// It does not work, or the check could not be made.
    Failed,
}

impl Outcome {
    /// The name in documents and on the screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One check and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The kind of check: `trail`, `role`, ….
    pub check: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was checked.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// How to fix it: a command or a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Check {
    /// A check with this outcome.
    pub fn new(
        check: impl Into<String>,
        outcome: Outcome,
        subject: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self {
            check: check.into(),
            outcome,
            subject: subject.into(),
            found: found.into(),
            fix: None,
        }
    }

    /// The same with a fix.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// The function's findings, with the time on its clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// The checks, in reading order.
    pub checks: Vec<Check>,
    /// The time on the function's clock.
    pub time: Timestamp,
}

/// A read of EC2 that the function makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ec2Read {
    /// The live rules of groups.
    Rules,
    /// Which groups exist.
    Groups,
    /// The default VPC, for events with a group's name instead of its id.
    Vpcs,
    /// Which prefix lists exist.
    PrefixLists,
}

/// A write to the table that the function makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableWrite {
    /// A record, for a listed principal.
    Record,
    /// A generation that was replaced.
    History,
    /// An incident.
    Incident,
    /// The run-time state of a group.
    State,
}

/// The sort key of writes that cannot take effect. No group, generation or time has this form.
pub const NOWHERE: &str = "doctor";

/// Tries what EC2 allows. Nothing here can change a group.
pub trait TryGroups {
    /// Makes a read with a small answer.
    fn try_read(&self, read: Ec2Read) -> impl Future<Output = Result<(), ApiError>>;

    /// Asks for an authorize as a dry run, with the rule's tags if it has any. Succeeds if EC2 would have accepted it.
    fn try_authorize(
        &self,
        group: &GroupId,
        rule: &IngressRule,
    ) -> impl Future<Output = Result<(), ApiError>>;
}

/// Tries what the table allows. Nothing here can write an item.
pub trait TryTable {
    /// Asks for a write with a condition that is never true. Succeeds if only the condition was refused.
    fn try_write(
        &self,
        write: TableWrite,
        scope: &Scope,
    ) -> impl Future<Output = Result<(), ApiError>>;
}

/// Clouds that also allow tries.
pub trait TryClouds: Clouds<Ec2: TryGroups, Table: TryTable> {
    /// Assumes the role that a foreign scope needs, without using it. Returns the role's ARN, and why it could not be
    /// assumed. `None` if no role is used in other accounts.
    fn try_assume(
        &self,
        scope: &Scope,
        budget: Budget,
    ) -> impl Future<Output = Option<(String, Result<(), String>)>>;
}

/// Tries everything that the function needs, where it runs and in the requested scopes.
pub async fn examine<C: TryClouds>(
    clouds: &C,
    home: &Home,
    asked: &Examination,
    budget: Budget,
    now: fn() -> Timestamp,
) -> Findings {
    let own = match (&home.account, &home.region) {
        (Some(account), Some(region)) => Some(Scope {
            account: account.clone(),
            region: region.clone(),
        }),
        _ => None,
    };
    let mut checks = match &own {
        Some(scope) => at_home(clouds, scope, budget).await,
        None => {
            let found = "the function does not know its account and Region: Lambda gave it no ARN";
            vec![Check::new("role", Outcome::Failed, "the function", found)]
        }
    };
    for scope in asked
        .scopes
        .iter()
        .filter(|scope| Some(*scope) != own.as_ref())
    {
        if !budget.allows(std::time::Duration::ZERO) {
            let found = "not asked about: the function's time ran out";
            let check = Check::new("member_role", Outcome::Failed, scope.to_string(), found);
            checks.push(check.fix("Ask about fewer accounts and Regions at once."));
            continue;
        }
        let foreign = home.account.as_ref() != Some(&scope.account);
        checks.extend(elsewhere(clouds, scope, foreign, budget).await);
    }
    Findings {
        checks,
        time: now(),
    }
}

/// The table and EC2, in the function's own account and Region.
async fn at_home<C: TryClouds>(clouds: &C, scope: &Scope, budget: Budget) -> Vec<Check> {
    let (ec2, table) = clouds
        .in_scope(scope, false, Pace::Free, &Calls::default(), budget)
        .await;
    let (sample, mut checks) = read_table(&table, scope).await;
    checks.extend(write_table(&table, scope, Whose::Function).await);
    checks.extend(try_ec2(&ec2, scope, &sample, Whose::Function).await);
    if let Some(queue) = clouds.sweep_queue(&Calls::default(), budget) {
        let waiting = queue.waiting().await.map(drop);
        checks.push(Whose::Function.tried(
            "sqs:GetQueueAttributes",
            "on the queue of sweeps",
            waiting,
        ));
    }
    checks
}

/// EC2 in another account or Region. In another account, the role is used.
async fn elsewhere<C: TryClouds>(
    clouds: &C,
    scope: &Scope,
    foreign: bool,
    budget: Budget,
) -> Vec<Check> {
    let mut checks = Vec::new();
    if foreign {
        let subject = scope.to_string();
        let Some((role, assumed)) = clouds.try_assume(scope, budget).await else {
            let found = "the function assumes no role in other accounts";
            let check = Check::new("member_role", Outcome::Failed, subject, found);
            return vec![
                check.fix("Deploy the function with MemberRoleName (RULEKEEPER_ROLE_NAME)."),
            ];
        };
        if let Err(reason) = assumed {
            let found = format!("{role} could not be assumed: {reason}");
            let fix = format!(
                "Deploy template-member.yaml in {}, with HubRoleArn the function's role, and compare MemberRoleName with \
                 the role's name there.",
                scope.account
            );
            return vec![Check::new("member_role", Outcome::Failed, subject, found).fix(fix)];
        }
        let found = format!("{role} can be assumed");
        checks.push(Check::new("member_role", Outcome::Ok, subject, found));
    }
    let (ec2, table) = clouds
        .in_scope(scope, foreign, Pace::Free, &Calls::default(), budget)
        .await;
    let sample = match table.desired_page(scope, &GroupRange::default()).await {
        Ok(page) => Sample::of(&page.items, scope),
        Err(_) => Sample::nowhere(),
    };
    checks.extend(try_ec2(&ec2, scope, &sample, Whose::Member).await);
    checks
}

/// Whose permissions are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of the function's role.
    Function,
    /// Those of the role in another account, or of the function's own role in another Region.
    Member,
    /// Those of the person at the command line.
    Operator,
}

impl Whose {
    fn check(self) -> &'static str {
        match self {
            Self::Function => "role",
            Self::Member => "member_role",
            Self::Operator => "operator",
        }
    }

    fn fix(self, action: &str) -> String {
        match self {
            Self::Function => format!(
                "Allow {action} in the function's role: template.yaml has it under FunctionRole. If the role has it, a \
                 service control policy or a permissions boundary takes it away."
            ),
            Self::Member => format!(
                "Allow {action} in the role there: template-member.yaml has it under RestoreRole. If the role has it, a \
                 service control policy or a permissions boundary takes it away."
            ),
            Self::Operator => format!("Ask for {action}, or use other credentials (--profile)."),
        }
    }

    /// The check that follows from trying an action.
    pub fn tried(self, action: &str, place: &str, tried: Result<(), ApiError>) -> Check {
        let subject = format!("{action} {place}");
        let error = match tried {
            Ok(()) => return Check::new(self.check(), Outcome::Ok, subject, "allowed"),
            Err(error) => error,
        };
        let failed = |found: String| Check::new(self.check(), Outcome::Failed, subject, found);
        if error.verdict() == Verdict::Denied {
            return failed(format!("refused: {}: {}", error.code(), error.message))
                .fix(self.fix(action));
        }
        let check = failed(format!("could not be found out: {error}"));
        match &error.failure {
            Failure::Refused { code } if code == "ResourceNotFoundException" => {
                check.fix("The table does not exist there: compare RULEKEEPER_TABLE with the stack's output TableName.")
            }
            _ => check.fix("Run doctor again; if it stays, the message says what the service made of the call."),
        }
    }
}

/// Tries the reads of the table. Also returns a sample for trying an authorize.
async fn read_table<T: Table>(table: &T, scope: &Scope) -> (Sample, Vec<Check>) {
    let all = GroupRange::default();
    let (page, marks) = tokio::join!(table.desired_page(scope, &all), table.marks(scope, &all));
    let records = page.map(|page| page.items);
    let sample = match (&records, marks) {
        (Ok(records), marks) => {
            let gone = marks.unwrap_or_default().orphaned;
            let live = |(name, _): &&(String, Value)| {
                name.parse::<GroupId>().is_ok_and(|id| !gone.contains(&id))
            };
            let live: Vec<_> = records.iter().filter(live).cloned().collect();
            Sample::of(&live, scope)
        }
        (Err(_), _) => Sample::nowhere(),
    };
    let address = GroupAddress {
        scope: scope.clone(),
        id: sample.group.clone(),
    };
    let loaded = table.load(&address).await.map(drop);
    let whose = Whose::Function;
    let checks = vec![
        whose.tried("dynamodb:Query", "on the table", records.map(drop)),
        whose.tried("dynamodb:BatchGetItem", "on the table", loaded),
    ];
    (sample, checks)
}

/// Tries the function's writes to the table. None of them takes effect.
pub async fn write_table<T: TryTable>(table: &T, scope: &Scope, whose: Whose) -> Vec<Check> {
    let (record, history, incident, state) = tokio::join!(
        table.try_write(TableWrite::Record, scope),
        table.try_write(TableWrite::History, scope),
        table.try_write(TableWrite::Incident, scope),
        table.try_write(TableWrite::State, scope),
    );
    let put = "dynamodb:PutItem";
    vec![
        whose.tried(put, "on records (desired#…)", record),
        whose.tried(put, "on history (history#…)", history),
        whose.tried(put, "on incidents (incident#…)", incident),
        whose.tried("dynamodb:UpdateItem", "on run-time state (state#…)", state),
    ]
}

/// Tries the reads of EC2, and the authorize as a dry run, with and without tags.
pub async fn try_ec2<E: TryGroups>(
    ec2: &E,
    scope: &Scope,
    sample: &Sample,
    whose: Whose,
) -> Vec<Check> {
    let (rules, groups, vpcs, lists, plain, tagged) = tokio::join!(
        ec2.try_read(Ec2Read::Rules),
        ec2.try_read(Ec2Read::Groups),
        ec2.try_read(Ec2Read::Vpcs),
        ec2.try_read(Ec2Read::PrefixLists),
        ec2.try_authorize(&sample.group, &sample.plain),
        ec2.try_authorize(&sample.group, &sample.tagged),
    );
    let place = format!("in {scope}");
    let on = format!("on {} (dry run)", sample.group);
    let authorize = "ec2:AuthorizeSecurityGroupIngress";
    let authorized = sample.judge(whose, authorize, &on, plain);
    // If it is refused without tags, it proves nothing about tags.
    let tags = match authorized.outcome {
        Outcome::Ok => sample.judge(whose, "ec2:CreateTags", &on, tagged),
        _ => {
            let found = "not looked at: the authorize without tags comes first";
            let subject = format!("ec2:CreateTags {on}");
            Check::new(whose.check(), Outcome::Skipped, subject, found)
        }
    };
    vec![
        whose.tried("ec2:DescribeSecurityGroupRules", &place, rules),
        whose.tried("ec2:DescribeSecurityGroups", &place, groups),
        whose.tried("ec2:DescribeVpcs", &place, vpcs),
        whose.tried("ec2:DescribeManagedPrefixLists", &place, lists),
        authorized,
        tags,
    ]
}

/// A sample from a scope's records for trying an authorize, or a substitute if there is none.
pub fn sample(records: &[(String, Value)], scope: &Scope) -> Sample {
    Sample::of(records, scope)
}

/// The first rule of a record, if it has one.
fn first_rule(name: &str, item: &Value, scope: &Scope) -> Option<(GroupId, IngressRule)> {
    let group = name.parse().ok()?;
    let reading = DesiredRecord::from_json(item, &scope.account).ok()?;
    let rule = reading.record.rules.into_values().next()?;
    Some((group, rule))
}
