//! `export`: the record of a group as a file that `apply` reads.

use rulekeeper_cli::operator;
use serde_json::json;

use crate::args::Export;
use crate::failure::{Failure, Status};
use crate::output::{self, Output};
use crate::records;
use crate::session::Session;

pub(super) async fn run(
    session: &Session,
    output: Output,
    export: &Export,
) -> Result<Status, Failure> {
    // Before any call is made for it.
    if let Some(file) = &export.out {
        records::refuse_existing(file, export.force)?;
    }
    let group = session.address(&export.group).await?;
    let record = operator::show(&session.table().await?, &group).await?;
    let text = records::write_text(&record, export.format)?;
    let Some(file) = &export.out else {
        output::print(&text)?;
        return Ok(Status::Done);
    };
    records::write_file(file, &text, export.force)?;
    let (generation, file) = (record.record.generation, file.display().to_string());
    let document = json!({"group": group, "generation": generation, "file": file});
    output.show_one(&document, || {
        format!("{group}: generation {generation} is in {file}\n")
    })?;
    Ok(Status::Done)
}
