//! The table itself.

use rulekeeper_core::function::permissions::{Check, Outcome};

use super::check::{failed, ok, skipped, unknown, warning};
use super::facts::{Description, TableFacts};

/// Whether there is a table to look into. One that could not be described may be there.
pub(super) fn is_there(facts: &TableFacts) -> bool {
    !matches!(facts.description, Ok(None))
}

pub(super) fn judge(name: &str, facts: &TableFacts) -> Vec<Check> {
    let description = match &facts.description {
        Ok(Some(description)) => description,
        Ok(None) => {
            let found = "there is no such table in this account and Region";
            let fix = format!(
                "Give the stack's output TableName as --table (RULEKEEPER_TABLE), and check --region and --profile:\n\
                 aws dynamodb list-tables\n\
                 If it was deleted, DynamoDB has kept a backup of its own for 35 days:\n\
                 aws dynamodb list-backups --backup-type SYSTEM --table-name {name}\n\
                 aws dynamodb restore-table-from-backup --target-table-name {name} --backup-arn ARN"
            );
            let missing = failed("table", name, found).fix(fix);
            let others = [
                "table_expiry",
                "table_recovery",
                "table_encryption",
                "table_protection",
            ];
            let others = others.map(|check| skipped(check, name, "there is no table"));
            return std::iter::once(missing).chain(others).collect();
        }
        Err(error) => {
            let unclear = unknown("table", name, error, "dynamodb:DescribeTable");
            return vec![unclear, expiry(name, facts), recovery(name, facts)];
        }
    };
    vec![
        keys(name, description),
        expiry(name, facts),
        recovery(name, facts),
        encryption(name, description),
        protection(name, description),
    ]
}

fn keys(name: &str, table: &Description) -> Check {
    let wanted = [("pk", "HASH", "S"), ("sk", "RANGE", "S")];
    let mut there: Vec<_> = table
        .keys
        .iter()
        .map(|(name, role, kind)| (name.as_str(), role.as_str(), kind.as_str()))
        .collect();
    there.sort_unstable();
    if there != wanted {
        let found = format!("its keys are {there:?}, not pk (HASH) and sk (RANGE), both strings");
        let fix = "This is not rulekeeper's table: give the stack's output TableName as --table (RULEKEEPER_TABLE).";
        return failed("table", name, found).fix(fix);
    }
    match table.status.as_str() {
        "ACTIVE" => ok("table", name, "is there, with the keys pk and sk"),
        // It can be used while it is being changed.
        "UPDATING" => ok("table", name, "is being changed, and can be used"),
        status => {
            let found = format!("is {status}");
            failed("table", name, found)
                .fix("Wait until it is ACTIVE; if it does not become so, look at it in the DynamoDB console.")
        }
    }
}

fn expiry(name: &str, facts: &TableFacts) -> Check {
    let check = "table_expiry";
    let expiry = match &facts.expiry {
        Ok(expiry) => expiry,
        Err(error) => return unknown(check, name, error, "dynamodb:DescribeTimeToLive"),
    };
    let fix = format!(
        "aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification \
         Enabled=true,AttributeName=expires_at"
    );
    match (expiry.status.as_str(), expiry.attribute.as_deref()) {
        ("ENABLED" | "ENABLING", Some("expires_at")) => {
            ok(check, name, "old incidents and states expire by expires_at")
        }
        ("ENABLED" | "ENABLING", Some(other)) => {
            let found = format!(
                "items expire by {other}, not by expires_at, so old incidents and states stay"
            );
            warning(check, name, found)
                .fix("Turn it off for that attribute, wait an hour, and turn it on for expires_at.")
        }
        _ => warning(
            check,
            name,
            "time to live is off, so old incidents and states stay",
        )
        .fix(fix),
    }
}

fn recovery(name: &str, facts: &TableFacts) -> Check {
    let check = "table_recovery";
    match &facts.recovery {
        Ok(true) => ok(check, name, "point-in-time recovery is on"),
        Ok(false) => warning(
            check,
            name,
            "point-in-time recovery is off: lost records cannot be restored",
        )
        .fix(format!(
            "aws dynamodb update-continuous-backups --table-name {name} --point-in-time-recovery-specification \
             PointInTimeRecoveryEnabled=true"
        )),
        // rulekeeper works without it.
        Err(error) => Check {
            outcome: Outcome::Warning,
            ..unknown(check, name, error, "dynamodb:DescribeContinuousBackups")
        },
    }
}

fn encryption(name: &str, table: &Description) -> Check {
    let check = "table_encryption";
    match table.key_is_out_of_reach {
        false => ok(check, name, format!("encrypted with {}", table.encryption)),
        true => failed(
            check,
            name,
            format!("DynamoDB cannot use {}, so nothing can be read", table.encryption),
        )
        .fix("Enable that key and let DynamoDB use it again; without it the table is archived after seven days."),
    }
}

fn protection(name: &str, table: &Description) -> Check {
    let check = "table_protection";
    match table.deletion_protection {
        true => ok(check, name, "deletion protection is on"),
        false => warning(
            check,
            name,
            "deletion protection is off: one call deletes every record",
        )
        .fix(format!(
            "aws dynamodb update-table --table-name {name} --deletion-protection-enabled"
        )),
    }
}
