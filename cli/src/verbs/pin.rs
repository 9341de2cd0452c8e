//! `pin`: the live rules of a group become its record.

use rulekeeper::operator::{self, PinOptions};

use crate::args::Pin;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::render;
use crate::session::Session;

pub(super) async fn run(session: &Session, output: Output, pin: Pin) -> Result<Status, Failure> {
    let group = session.address(&pin.group).await?;
    let (ec2, table) = session.in_scope(&group.scope).await?;
    let options = PinOptions {
        mode: pin.mode,
        note: pin.note,
    };
    let written = operator::pin(&ec2, &table, &group, &options, &session.author().await?).await?;
    output.show(&written, || render::written(&written))?;
    Ok(Status::Done)
}
