//! What the function says of its own role.

use rulekeeper_core::function::permissions::{Check, Outcome};

use super::check::{failed, fix_for, skipped};
use super::clock;
use super::facts::RoleAnswer;

/// `ahead_ms` is how far this machine's clock is ahead of AWS's.
pub(super) fn judge(told: RoleAnswer, table_is_there: bool, ahead_ms: i64) -> Vec<Check> {
    let check = "role";
    let subject = "the function's role";
    match told {
        RoleAnswer::Findings {
            findings,
            sent,
            received,
        } => {
            let mut checks = vec![clock::of_function(&findings, sent, received, ahead_ms)];
            let of_table = |check: &Check| check.subject.starts_with("dynamodb:") && check.outcome == Outcome::Failed;
            checks.extend(findings.checks.into_iter().map(|check| match of_table(&check) && !table_is_there {
                true => skipped(&check.check, check.subject, "there is no table"),
                false => check,
            }));
            checks
        }
        RoleAnswer::NotAsked(why) => vec![skipped(check, subject, format!("not asked: {why}"))],
        RoleAnswer::Ignored => vec![
            failed(check, subject, "could not be asked: the function does not know the question")
                .fix("Update the function: it is older than this command line."),
        ],
        RoleAnswer::Odd(answer) => vec![
            failed(check, subject, format!("the function's answer was not understood: {answer}"))
                .fix("Update this command line and the function to the same release; is it rulekeeper's function?"),
        ],
        RoleAnswer::Broke(error) => vec![
            failed(check, subject, format!("the function failed instead of answering: {error}"))
                .fix("Its log says why: look at its log group, at RULEKEEPER_* in its environment, and at its package."),
        ],
        RoleAnswer::Refused(error) => {
            let found = format!("could not be asked: {error}");
            vec![failed(check, subject, found).fix(fix_for(&error, "lambda:InvokeFunction"))]
        }
    }
}
