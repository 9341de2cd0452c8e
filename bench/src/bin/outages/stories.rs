//! The outages: what is known of each, and how it is replayed.

use std::pin::Pin;

use rulekeeper_bench::Result;

use crate::replay::Outcome;
use crate::setup::Setup;

mod ack;
mod console;
mod lbc;
mod stale_view;
mod terraform;
mod terraform_applies;
mod terraform_destroys;

/// A replay in progress.
type Replaying = Pin<Box<dyn Future<Output = Result<Outcome>>>>;

/// An outage.
#[derive(Debug)]
pub(crate) struct Story {
    /// The name on the command line.
    pub(crate) name: &'static str,
    /// The title in the table.
    pub(crate) title: &'static str,
    /// Name and link of the report or the documentation.
    pub(crate) source: Option<(&'static str, &'static str)>,
    /// What happens, and which part of it is assumed.
    pub(crate) text: &'static str,
    /// The record's policy for the principal that revokes.
    pub(crate) policy: &'static str,
    /// Replays it once.
    pub(crate) replay: fn(Setup) -> Replaying,
}

/// All stories, in the order of the table.
pub(crate) static STORIES: [Story; 15] = [
    lbc::BAD_REFERENCE,
    lbc::NARROWED_RANGE,
    lbc::FULL_GROUP,
    stale_view::STORY,
    ack::STORY,
    terraform::UNLISTED,
    terraform::ACCEPTED,
    terraform_applies::INLINE,
    terraform_applies::RESOURCES,
    terraform_applies::BAD_REFERENCE,
    terraform_applies::FULL_GROUP,
    terraform_destroys::GROUP,
    terraform_destroys::REFERENCED,
    console::NARROWS,
    console::WIDENS,
];

/// The story with a name.
///
/// # Errors
/// When there is none, as a message for the command line.
pub(crate) fn named(name: &str) -> Result<&'static Story, String> {
    let story = STORIES.iter().find(|story| story.name == name);
    story.ok_or_else(|| "there is no such story; --list names them".to_owned())
}
