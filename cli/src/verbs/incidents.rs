//! `incidents`: who dropped what, and what came of it.

use jiff::Timestamp;
use rulekeeper::operator;

use crate::args::Incidents;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::progress::Progress;
use crate::render;
use crate::session::{SWEEP_TIME, Session};

pub(super) async fn run(
    session: &Session,
    output: Output,
    asked: &Incidents,
) -> Result<Status, Failure> {
    let since = asked.since.before(Timestamp::now())?;
    let table = session.table_for(SWEEP_TIME).await?;
    let scope = session.scope().await?;
    let found = {
        let progress = Progress::of("groups");
        let tell = |done, total| progress.tell(done, total);
        operator::incidents(&table, &scope, &asked.groups, since, &tell).await?
    };
    output.show(&found, || render::incidents(&scope, &found))?;
    Ok(Status::Done)
}
