//! `history`: every generation with its author and what it changed.

use rulekeeper_cli::operator;

use crate::args::History;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::render;
use crate::session::Session;

pub(super) async fn run(
    session: &Session,
    output: Output,
    history: &History,
) -> Result<Status, Failure> {
    let table = session.table().await?;
    let history = match &history.group {
        Some(id) => operator::history(&table, &session.address(id).await?).await?,
        None => operator::settings_history(&table).await?,
    };
    let document = output
        .document(&history.generations)
        .with("group", &history.group)?;
    output.show_document(&document, || render::history(&history))?;
    Ok(Status::Done)
}
