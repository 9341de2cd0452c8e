//! `schema`: the JSON Schema of a record file.

use crate::failure::{Failure, Status};
use crate::{output, schema, steering};

pub(super) fn run() -> Result<Status, Failure> {
    output::print(&steering::json(&schema::schema()).map_err(Failure::failed)?)?;
    Ok(Status::Done)
}
