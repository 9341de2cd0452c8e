//! `plan`: what a restore would find and do.

use rulekeeper_core::model::GroupId;

use super::reconcile;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::render::Style;
use crate::session::Session;

pub(super) async fn run(
    session: &Session,
    output: Output,
    groups: &[GroupId],
) -> Result<Status, Failure> {
    reconcile::run(session, output, groups, Style::Plan).await
}
