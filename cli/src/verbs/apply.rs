//! `apply`: files become records.

use rulekeeper_cli::operator;
use rulekeeper_cli::operator::OperatorError;

use crate::args::Apply;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::progress::Progress;
use crate::session::{SWEEP_TIME, Session};
use crate::{records, render};

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
    for (group, record) in operator::records(&files, apply.yes) {
        super::warn_of(session, &group, &record);
    }
    let table = session.table_for(SWEEP_TIME).await?;
    let author = session.author().await?;
    let progress = Progress::of("reads and writes");
    let tell = |done, total| {
        if files.len() > 1 {
            progress.tell(done, total);
        }
    };
    let written = operator::apply(&table, &files, apply.yes, &author, &tell).await?;
    drop(progress);
    output.show(&written, || written.iter().map(render::written).collect())?;
    Ok(Status::Done)
}
