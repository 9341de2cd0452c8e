//! `doctor`: whether everything rulekeeper needs is in place, and how to fix what is not.

use rulekeeper_core::function::permissions::Outcome;

use crate::args::Doctor;
use crate::doctor::{self, Asked};
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::render;
use crate::session::Session;

pub(super) async fn run(
    session: &Session,
    output: Output,
    asked: &Doctor,
) -> Result<Status, Failure> {
    let named = asked.function.as_deref().map(str::trim);
    let asked = Asked {
        function: named.filter(|name| !name.is_empty()),
        scopes: asked.scopes.clone(),
    };
    let checks = doctor::examine(session, asked).await?;
    output.show(&checks, || render::checks(&checks))?;
    match checks.iter().any(|check| check.outcome == Outcome::Failed) {
        true => Ok(Status::Failed),
        false => Ok(Status::Done),
    }
}
