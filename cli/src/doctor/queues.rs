//! Dead-letter queues: whether they exist, and how many messages they hold.

use std::collections::BTreeSet;

use rulekeeper_core::function::permissions::Check;
use rulekeeper_core::ports::ApiError;

use super::check::{failed, ok, skipped, unknown, warning};
use super::facts::{FunctionFacts, Invocations, Rules, Waiting};

/// Where failed events go, by ARN.
pub(super) fn named(
    function: &FunctionFacts,
    invocations: &Result<Option<Invocations>, ApiError>,
    rules: &Rules,
) -> BTreeSet<String> {
    let of_function = match invocations {
        Ok(Some(invocations)) => invocations.on_failure.clone(),
        _ => None,
    };
    let of_rules = rules
        .iter()
        .flatten()
        .filter_map(|rule| rule.dead_letters.as_ref().ok()?.clone());
    of_rules
        .chain(of_function)
        .chain(function.dead_letters.clone())
        .collect()
}

pub(super) fn unexamined() -> Vec<Check> {
    vec![skipped(
        "queue",
        "-",
        "the function is not known, so neither are its queues",
    )]
}

pub(super) fn judge(queues: &[(String, Option<Waiting>)]) -> Vec<Check> {
    queues
        .iter()
        .map(|(arn, waiting)| of_queue(arn, waiting.as_ref()))
        .collect()
}

fn of_queue(arn: &str, waiting: Option<&Waiting>) -> Check {
    let check = "queue";
    match waiting {
        None => skipped(check, arn, "not an SQS queue, so it was not looked at"),
        Some(Ok(None)) => failed(
            check,
            arn,
            "there is no such queue, so events for it are lost",
        )
        .fix("Deploy the stack again, or give the rule and the function another queue."),
        Some(Ok(Some(0))) => ok(check, arn, "is there, and empty"),
        Some(Ok(Some(1))) => holding(arn, "holds 1 message: an event that nobody handled"),
        Some(Ok(Some(number))) => holding(
            arn,
            &format!("holds {number} messages: events that nobody handled"),
        ),
        Some(Err((action, error))) => unknown(check, arn, error, action),
    }
}

fn holding(arn: &str, found: &str) -> Check {
    warning("queue", arn, found).fix(
        "Put back what is missing with `rulekeeper restore`. docs/operate.md, \"Messages of the dead-letter queues\", says \
         how to read, replay and delete the messages.",
    )
}
