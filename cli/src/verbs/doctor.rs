//! `doctor`: whether everything rulekeeper needs is in place, and how to fix what is not.

use rulekeeper_core::function::permissions::{Check, Outcome};
use serde::Serialize;

use crate::args::Doctor;
use crate::doctor::{self, Asked};
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::render;
use crate::session::Session;

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
            let asked = Asked {
                function: named.filter(|name| !name.is_empty()),
                scopes: asked.scopes.clone(),
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
