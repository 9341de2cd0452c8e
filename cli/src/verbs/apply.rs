//! `apply`: files become records.

use rulekeeper::operator::{self, OperatorError};

use crate::args::Apply;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::records;
use crate::render;
use crate::session::Session;

pub(super) async fn run(
    session: &Session,
    output: Output,
    apply: &Apply,
) -> Result<Status, Failure> {
    let (files, mut findings) = records::read_all(&apply.files);
    findings.extend(operator::findings(&files, apply.yes));
    if !findings.is_empty() {
        return Err(OperatorError::Findings(findings).into());
    }
    let table = session.table().await?;
    let written = operator::apply(&table, &files, apply.yes, &session.author().await?).await?;
    output.show(&written, || written.iter().map(render::written).collect())?;
    Ok(Status::Done)
}
