//! Checks everything that rulekeeper needs, without changing anything.
//!
//! `cloud` asks AWS and gives plain facts; the files between it and `facts` judge them. `records` and `operator` also ask
//! the table, through the session; the others make no call, so each verdict has a test without AWS. What could not be
//! asked is a check like any other, and never keeps the rest from running.
//!
//! Each file imports only files below it, which a test sees to:
//!
//! - `operator`: what the operator's own credentials may do
//! - `cloud`: the calls to AWS
//! - `before`: what is there before anything is deployed
//! - `role`: what the function says of its role
//! - `records`: the records, settings and orphaned groups in the table
//! - `caller`: the credentials and their account
//! - `table`: the table's keys, expiry, backups, encryption and protection
//! - `function`: the function's state and settings
//! - `rules`: the event rules and the schedule
//! - `trail`: the trails that hand EC2's calls to EventBridge
//! - `queues`: the dead-letter queues
//! - `topics`: the topics of alarms and notices
//! - `clock`: this machine's clock and the function's
//! - `facts`: what AWS says, as plain data
//! - `place`: commands, completed by Region, table and profile
//! - `check`: how a check is made

use rulekeeper_core::function::permissions::Check;
use rulekeeper_core::model::{Region, Scope};

use crate::failure::Failure;
use crate::session::Session;

mod before;
mod caller;
mod check;
mod clock;
mod cloud;
mod facts;
mod function;
mod operator;
mod place;
mod queues;
mod records;
mod role;
mod rules;
mod table;
mod topics;
mod trail;

use cloud::Cloud;
use facts::{FoundFunction, FunctionFacts, RoleAnswer};
use place::Place;

/// What to check.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// The function, if it was named.
    pub(crate) function: Option<&'a str>,
    /// Accounts and Regions whose role the function should try, besides those of the records.
    pub(crate) scopes: Vec<Scope>,
}

/// Makes all checks, independent ones at once.
///
/// # Errors
/// When no table is named or no Region is set.
pub(crate) async fn examine(session: &Session, asked: Asked<'_>) -> Result<Vec<Check>, Failure> {
    let name = session.table_name()?;
    let region = session.region().await?;
    let cloud = Cloud::new(session.config().await?);
    let place = place(session, &region);
    let checks = match session.credentials().await {
        Ok(()) => look(session, &cloud, asked, name, &region).await,
        Err(failure) => caller::without_credentials(&failure, clock::ours(None)),
    };
    let checks = checks.into_iter().map(|check| place.complete(check));
    Ok(checks.collect())
}

/// Makes the checks that need nothing to be deployed.
///
/// # Errors
/// When no Region is set.
pub(crate) async fn examine_before(session: &Session) -> Result<Vec<Check>, Failure> {
    let region = session.region().await?;
    let cloud = Cloud::new(session.config().await?);
    let place = place(session, &region);
    let checks = match session.credentials().await {
        Ok(()) => {
            let (who, trails, of_ec2, of_others) = tokio::join!(
                cloud.caller(),
                cloud.trails(&region),
                cloud.reads_of_ec2(),
                cloud.reads_of_others(),
            );
            let mut checks = caller::judge(&who, &region);
            checks.push(clock::ours(who.clock.as_ref()));
            checks.extend(trail::judge(&trails, &region));
            let caller = who.identity.as_ref().ok();
            checks.extend(before::judge(&region, of_ec2, of_others, caller));
            checks
        }
        Err(failure) => caller::without_credentials(&failure, clock::ours(None)),
    };
    let checks = checks.into_iter().map(|check| place.complete(check));
    Ok(checks.collect())
}

fn place(session: &Session, region: &Region) -> Place {
    let named = session.named();
    Place {
        region: region.as_str().to_owned(),
        table: named.table.map(str::to_owned),
        table_region: named.table_region.map(str::to_owned),
        profile: named.profile.map(str::to_owned),
    }
}

async fn look(
    session: &Session,
    cloud: &Cloud,
    asked: Asked<'_>,
    name: &str,
    region: &Region,
) -> Vec<Check> {
    let (who, described, trails, function) = tokio::join!(
        cloud.caller(),
        cloud.table(name),
        cloud.trails(region),
        cloud.function(asked.function, name),
    );
    if let Err(error) = &who.identity
        && caller::is_final(error, &described)
    {
        let failure = Failure::of_api(error, format_args!("nothing could be asked: {error}"));
        let failure = session.explain(failure).await;
        return caller::without_credentials(&failure, clock::ours(who.clock.as_ref()));
    }
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
                    operator::examine(session, cloud, scope, who.account()),
                ),
                _ => (
                    records::unexamined(table_is_there),
                    operator::unexamined(table_is_there),
                ),
            }
        },
        around(cloud, &function, &scopes),
    );

    let mut checks = caller::judge(&who, region);
    let off = who.clock.as_ref().map_or(0, clock::offset_ms);
    checks.push(clock::ours(who.clock.as_ref()));
    checks.extend(table::judge(name, &described));
    checks.extend(records);
    checks.extend(function::judge(&function, name, session.never()));
    let Around {
        settings,
        rules,
        queues,
        topics,
        told,
    } = around;
    checks.extend(settings);
    checks.extend(rules);
    checks.extend(trail::judge(&trails, region));
    checks.extend(queues);
    checks.extend(topics);
    checks.extend(role::judge(told, table_is_there, off));
    checks.extend(operator);
    checks
}

/// What can be checked once the function is known.
struct Around {
    settings: Vec<Check>,
    rules: Vec<Check>,
    queues: Vec<Check>,
    topics: Vec<Check>,
    told: RoleAnswer,
}

async fn around(cloud: &Cloud, function: &FoundFunction, scopes: &[Scope]) -> Around {
    let FoundFunction::One(function) = function else {
        return Around {
            settings: Vec::new(),
            rules: rules::unexamined(),
            queues: queues::unexamined(),
            topics: topics::judge(&[]),
            told: RoleAnswer::NotAsked("the function is not known".to_owned()),
        };
    };
    let FunctionFacts { name, arn, .. } = function.as_ref();
    let (concurrency, invocations, rules) = tokio::join!(
        cloud.concurrency(name),
        cloud.invocations(name),
        cloud.rules(arn)
    );
    let queues = queues::named(function, &invocations, &rules);
    let (told, found, readers) = tokio::join!(
        async {
            match &concurrency {
                Ok(Some(0)) => {
                    RoleAnswer::NotAsked("reserved concurrency 0 keeps it from running".to_owned())
                }
                _ => cloud.ask(name, scopes).await,
            }
        },
        cloud.queues(queues.into_iter().collect()),
        cloud.readers(&function.topics),
    );
    let mut settings = function::judge_concurrency(name, &concurrency);
    settings.extend(function::judge_invocations(function, &invocations));
    Around {
        settings,
        rules: rules::judge(name, &rules),
        queues: queues::judge(&found),
        topics: topics::judge(&readers),
        told,
    }
}

#[cfg(test)]
mod tests;
