//! `show`: the record of a group.

use jiff::Timestamp;
use rulekeeper_cli::operator;
use serde_json::Value;

use crate::args::Show;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::records::Ordered;
use crate::render;
use crate::session::Session;

pub(super) async fn run(session: &Session, output: Output, show: &Show) -> Result<Status, Failure> {
    let group = session.address(&show.group).await?;
    let (record, standing) = operator::show_with_standing(&session.table().await?, &group).await?;
    let content = Value::Object(record.to_json());
    output.show_one(&Ordered(&content), || {
        render::record(&record, Timestamp::now()) + &render::standing(&standing)
    })?;
    Ok(Status::Done)
}
