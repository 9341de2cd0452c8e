//! `list`: every record with its state.

use std::time::Duration;

use jiff::Timestamp;
use rulekeeper_cli::operator;
use rulekeeper_cli::operator::Listed;
use rulekeeper_core::model::Scope;

use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::progress::Progress;
use crate::render;
use crate::session::Session;

/// The time for asking EC2 which groups exist. The list is the table's; it waits no longer for more.
const LOOK_UP_TIME: Duration = Duration::from_secs(15);

pub(super) async fn run(session: &Session, output: Output) -> Result<Status, Failure> {
    let table = session.table().await?;
    let scope = session.scope().await?;
    let mut records = operator::list(&table, &scope, Timestamp::now()).await?;
    if !records.is_empty()
        && let Err(failure) = find_gone(session, &scope, &mut records).await
    {
        let why = render::plain(&failure.to_string());
        eprintln!("warning: whether the groups exist is not known: {why}");
    }
    output.show(&records, || render::list(&scope, &records))?;
    Ok(Status::Done)
}

async fn find_gone(
    session: &Session,
    scope: &Scope,
    records: &mut [Listed],
) -> Result<(), Failure> {
    let (ec2, _) = session.in_scope_for(scope, LOOK_UP_TIME).await?;
    let progress = Progress::of("groups");
    let tell = |done, total| progress.tell(done, total);
    let found = operator::find_gone(&ec2, records, &tell).await;
    found.map_err(Failure::failed)
}
