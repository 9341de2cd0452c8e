//! The topics of alarms and notices: whether anybody reads them.

use rulekeeper_core::function::permissions::{Check, Outcome};
use rulekeeper_core::ports::ApiError;

use super::check::{count, failed, ok, skipped, unknown, warning};

/// The verdict on each topic, with the number of its subscriptions.
pub(super) fn judge(topics: &[(String, Result<Option<u32>, ApiError>)]) -> Vec<Check> {
    if topics.is_empty() {
        let found = "the function does not name them (RULEKEEPER_TOPICS)";
        return vec![skipped("topic", "-", found)];
    }
    topics.iter().map(of_topic).collect()
}

fn of_topic((arn, readers): &(String, Result<Option<u32>, ApiError>)) -> Check {
    let check = "topic";
    match readers {
        Ok(Some(0)) => warning(
            check,
            arn,
            "nobody reads what is published to it: it has no confirmed subscription",
        )
        .fix(format!(
            "aws sns subscribe --topic-arn {arn} --protocol email --notification-endpoint ADDRESS, and confirm the mail; or \
             deploy with AlarmEmail and NoticeEmail."
        )),
        Ok(Some(readers)) => {
            let readers = usize::try_from(*readers).unwrap_or(usize::MAX);
            ok(check, arn, format!("has {}", count(readers, "subscription")))
        }
        Ok(None) => failed(
            check,
            arn,
            "there is no such topic, so alarms or notices are lost",
        )
        .fix("Deploy the stack again."),
        Err(error) => Check {
            outcome: Outcome::Warning,
            ..unknown(check, arn, error, "sns:GetTopicAttributes")
        },
    }
}
