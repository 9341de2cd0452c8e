//! Everything that rulekeeper stands on, looked at without changing anything.
//!
//! `cloud` asks and gives plain facts; the other rooms judge facts and make no call, so that each verdict can be tested
//! without a cloud. What could not be asked is a finding like any other: one failed check never keeps the rest from
//! running.

use jiff::Timestamp;
use rulekeeper_core::function::permissions::{Check, Outcome};
use rulekeeper_core::model::Scope;
use rulekeeper_core::ports::{ApiError, Failure as ApiFailure, Verdict};

use crate::failure::Failure;
use crate::session::Session;

mod caller;
mod clock;
mod cloud;
mod function;
mod operator;
mod queues;
mod records;
mod role;
mod rules;
mod table;
mod trail;

use cloud::{Cloud, Found, Told};
use function::FunctionFacts;

/// What is to be looked at.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// The function, if it was named.
    pub(crate) function: Option<&'a str>,
    /// Accounts and Regions whose role the function is to try, besides those of the records.
    pub(crate) scopes: Vec<Scope>,
}

/// Looks at everything; independent things at once.
///
/// # Errors
/// When no table is named or no Region is set: nothing can be looked at then.
pub(crate) async fn examine(session: &Session, asked: Asked<'_>) -> Result<Vec<Check>, Failure> {
    let name = session.table_name()?;
    let region = session.region().await?;
    let cloud = Cloud::new(session.config().await?);
    if let Err(reason) = session.credentials().await {
        return Ok(caller::without_credentials(&reason));
    }
    let (who, described, trails, function) = tokio::join!(
        cloud.caller(),
        cloud.table(name),
        cloud.trails(&region),
        cloud.function(asked.function, name),
    );
    let table_is_there = table::is_there(&described);
    let account = session
        .account_asked_for()
        .or_else(|| who.account().cloned());
    let scope = account.map(|account| Scope {
        account,
        region: region.clone(),
    });

    let mut scopes = asked.scopes;
    // Groups of another account are reached through the role there.
    scopes.extend(
        scope
            .clone()
            .filter(|scope| Some(&scope.account) != who.account()),
    );
    let ((records, operator), around) = tokio::join!(
        async {
            match &scope {
                Some(scope) if table_is_there => tokio::join!(
                    records::examine(session, scope),
                    operator::examine(session, &cloud, scope, who.account()),
                ),
                _ => (
                    records::unexamined(table_is_there),
                    operator::unexamined(table_is_there),
                ),
            }
        },
        around(&cloud, &function, &scopes),
    );

    let mut checks = caller::judge(&who, &region);
    let off = who.clock.as_ref().map_or(0, clock::offset_ms);
    checks.push(clock::ours(who.clock.as_ref()));
    checks.extend(table::judge(name, &described));
    checks.extend(records);
    checks.extend(function::judge(&function, name));
    let Around {
        settings,
        rules,
        queues,
        told,
    } = around;
    checks.extend(settings);
    checks.extend(rules);
    checks.extend(trail::judge(&trails, &region));
    checks.extend(queues);
    checks.extend(role::judge(told, table_is_there, off));
    checks.extend(operator);
    Ok(checks)
}

/// What can be looked at once the function is known.
struct Around {
    settings: Vec<Check>,
    rules: Vec<Check>,
    queues: Vec<Check>,
    told: Told,
}

async fn around(cloud: &Cloud, function: &Found, scopes: &[Scope]) -> Around {
    let Found::One(function) = function else {
        return Around {
            settings: Vec::new(),
            rules: rules::unexamined(),
            queues: queues::unexamined(),
            told: Told::NotAsked("the function is not known".to_owned()),
        };
    };
    let FunctionFacts { name, arn, .. } = function.as_ref();
    let (concurrency, invocations, rules) = tokio::join!(
        cloud.concurrency(name),
        cloud.invocations(name),
        cloud.rules(arn)
    );
    let queues = queues::named(function, &invocations, &rules);
    let (told, found) = tokio::join!(
        async {
            match &concurrency {
                Ok(Some(0)) => {
                    Told::NotAsked("reserved concurrency 0 keeps it from running".to_owned())
                }
                _ => cloud.ask(name, scopes).await,
            }
        },
        cloud.queues(queues.into_iter().collect()),
    );
    let mut settings = function::judge_concurrency(name, &concurrency);
    settings.extend(function::judge_invocations(function, &invocations));
    Around {
        settings,
        rules: rules::judge(name, &rules),
        queues: queues::judge(&found),
        told,
    }
}

fn ok(check: &str, subject: impl Into<String>, found: impl Into<String>) -> Check {
    Check::new(check, Outcome::Ok, subject, found)
}

fn warning(check: &str, subject: impl Into<String>, found: impl Into<String>) -> Check {
    Check::new(check, Outcome::Warning, subject, found)
}

fn failed(check: &str, subject: impl Into<String>, found: impl Into<String>) -> Check {
    Check::new(check, Outcome::Failed, subject, found)
}

fn skipped(check: &str, subject: impl Into<String>, found: impl Into<String>) -> Check {
    Check::new(check, Outcome::Skipped, subject, found)
}

/// Something that could not be found out, because a call that needs this action failed.
fn unknown(check: &str, subject: impl Into<String>, error: &ApiError, action: &str) -> Check {
    let found = format!("could not be found out: {error}");
    failed(check, subject, found).fix(fix_for(error, action))
}

/// What to do about a call that failed.
fn fix_for(error: &ApiError, action: &str) -> String {
    match (error.verdict(), &error.failure) {
        (Verdict::Denied, _) => {
            format!("Allow {action} for these credentials, or use others (--profile).")
        }
        (Verdict::Expired, _) => {
            "Log in again, for example with `aws sso login`; if that does not help, set this machine's clock.".to_owned()
        }
        (_, ApiFailure::NoAnswer | ApiFailure::OutOfTime) => {
            "Check the network, --region and --endpoint-url, and run doctor again.".to_owned()
        }
        _ => "Run doctor again; if it fails again, the message is what the service answered.".to_owned(),
    }
}

/// The present time.
fn now() -> Timestamp {
    Timestamp::now()
}

fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests;
