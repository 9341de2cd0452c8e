//! `list`: every record with its state.

use jiff::Timestamp;
use rulekeeper::operator;

use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::render;
use crate::session::Session;

pub(super) async fn run(session: &Session, output: Output) -> Result<Status, Failure> {
    let table = session.table().await?;
    let scope = session.scope().await?;
    let records = operator::list(&table, &scope, Timestamp::now()).await?;
    output.show(&records, || render::list(&scope, &records))?;
    Ok(Status::Done)
}
