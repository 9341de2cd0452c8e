//! The topics of alarms and notices: whether anybody reads them.

use rulekeeper_core::function::permissions::{Check, Outcome};

use super::check::{count, failed, ok, skipped, unknown, warning};
use super::facts::{Readers, Subscriptions};

/// The verdict on each topic, with the number of its subscriptions.
pub(super) fn judge(topics: &[(String, Subscriptions)]) -> Vec<Check> {
    if topics.is_empty() {
        let found = "the function does not name them (RULEKEEPER_TOPICS)";
        return vec![skipped("topic", "-", found)];
    }
    topics.iter().map(of_topic).collect()
}

fn of_topic((arn, readers): &(String, Subscriptions)) -> Check {
    let check = "topic";
    let number =
        |readers: u32, noun: &str| count(usize::try_from(readers).unwrap_or(usize::MAX), noun);
    let subscribe = format!(
        "Subscribe, and confirm by the link in the mail that follows; or deploy with AlarmEmail and NoticeEmail:\n\
         aws sns subscribe --topic-arn {arn} --protocol email --notification-endpoint ADDRESS"
    );
    match readers {
        Ok(Some(Readers {
            confirmed: 0,
            pending: 0,
        })) => warning(
            check,
            arn,
            "nobody reads what is published to it: it has no confirmed subscription",
        )
        .fix(subscribe),
        Ok(Some(Readers {
            confirmed: 0,
            pending,
        })) => warning(
            check,
            arn,
            format!(
                "nobody reads what is published to it: {} not confirmed",
                number(*pending, "subscription")
            ),
        )
        .fix(format!(
            "Confirm by the link in the mail from AWS Notifications; it holds for two days. After that: {subscribe}"
        )),
        Ok(Some(Readers { confirmed, .. })) => {
            ok(check, arn, format!("has {}", number(*confirmed, "subscription")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_that_nobody_confirmed_reads_nothing() {
        let of = |confirmed, pending| {
            let readers = Readers { confirmed, pending };
            of_topic(&("arn:t".to_owned(), Ok(Some(readers))))
        };
        assert_eq!(of(1, 1).outcome, Outcome::Ok);
        for (pending, said) in [
            (0, "no confirmed subscription"),
            (2, "2 subscriptions not confirmed"),
        ] {
            let check = of(0, pending);
            let fix = check.fix.unwrap_or_default();
            assert_eq!(check.outcome, Outcome::Warning);
            assert!(check.found.contains(said), "{}", check.found);
            assert!(
                fix.contains("\naws sns subscribe --topic-arn arn:t --protocol email"),
                "{fix}"
            );
        }
    }
}
