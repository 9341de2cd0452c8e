//! `doctor`: whether everything rulekeeper needs is in place, and how to fix what is not.

use rulekeeper_core::function::permissions::{Check, Outcome};
use serde::Serialize;

use crate::args::Doctor;
use crate::doctor::{self, Asked};
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::session::Session;
use crate::{render, say};

/// A check with the section that it stands in.
#[derive(Serialize)]
struct Sectioned<'a> {
    section: &'static str,
    #[serde(flatten)]
    check: &'a Check,
}

pub(super) async fn run(
    session: &Session,
    output: Output,
    asked: &Doctor,
) -> Result<Status, Failure> {
    let checks = match asked.pre {
        true => doctor::examine_before(session).await?,
        false => {
            let named = asked.function.as_deref().map(str::trim);
            let mut others = asked.scopes.clone();
            if asked.all_scopes {
                // The rest is looked at all the same.
                match super::scopes(session, true).await {
                    Ok(all) => others.extend(all),
                    Err(why) => say::warning(&format!(
                        "it is not known which accounts and Regions the table knows: {why}"
                    )),
                }
            }
            let asked = Asked {
                function: named.filter(|name| !name.is_empty()),
                scopes: others,
            };
            doctor::examine(session, asked).await?
        }
    };
    let sectioned = checks.iter().map(|check| Sectioned {
        section: render::section(check),
        check,
    });
    let sectioned: Vec<_> = sectioned.collect();
    output.show(&sectioned, || render::checks(&checks))?;
    match checks.iter().any(|check| check.outcome == Outcome::Failed) {
        true => Ok(Status::Failed),
        false => Ok(Status::Done),
    }
}
