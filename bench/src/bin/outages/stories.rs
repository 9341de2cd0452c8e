//! The outages: what is known of each, and how it is replayed.

use std::str::FromStr;

use rulekeeper_bench::Result;

use crate::replay::Outcome;
use crate::setup::Setup;

mod ack;
mod console;
mod lbc;
mod stale_view;
mod terraform;

/// What is told of an outage besides its figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Story {
    /// For the command line.
    pub(crate) name: &'static str,
    /// For the table.
    pub(crate) title: &'static str,
    /// Where it is reported or documented.
    pub(crate) source: Option<(&'static str, &'static str)>,
    /// What happens, and what of it is assumed.
    pub(crate) text: &'static str,
    /// How the record takes the changes of whoever plays.
    pub(crate) policy: &'static str,
}

/// The stories, in the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incident {
    BadReference,
    NarrowedRange,
    FullGroup,
    StaleView,
    Throttled,
    TerraformUnlisted,
    TerraformAccepted,
    ConsoleNarrows,
    ConsoleWidens,
}

impl Incident {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::BadReference,
        Self::NarrowedRange,
        Self::FullGroup,
        Self::StaleView,
        Self::Throttled,
        Self::TerraformUnlisted,
        Self::TerraformAccepted,
        Self::ConsoleNarrows,
        Self::ConsoleWidens,
    ];

    /// What is told of it.
    pub(crate) fn story(self) -> Story {
        match self {
            Self::BadReference => lbc::BAD_REFERENCE,
            Self::NarrowedRange => lbc::NARROWED_RANGE,
            Self::FullGroup => lbc::FULL_GROUP,
            Self::StaleView => stale_view::STORY,
            Self::Throttled => ack::STORY,
            Self::TerraformUnlisted => terraform::UNLISTED,
            Self::TerraformAccepted => terraform::ACCEPTED,
            Self::ConsoleNarrows => console::NARROWS,
            Self::ConsoleWidens => console::WIDENS,
        }
    }

    /// Whether it takes longer than the others, whoever keeps the rules.
    pub(crate) fn is_long(self) -> bool {
        self == Self::StaleView
    }

    /// Replays it once.
    pub(crate) async fn play(self, setup: Setup) -> Result<Outcome> {
        match self {
            Self::BadReference => lbc::bad_reference(setup).await,
            Self::NarrowedRange => lbc::narrowed_range(setup).await,
            Self::FullGroup => lbc::full_group(setup).await,
            Self::StaleView => stale_view::play(setup).await,
            Self::Throttled => ack::play(setup).await,
            Self::TerraformUnlisted => terraform::play(setup, &[]).await,
            Self::TerraformAccepted => terraform::play(setup, &[terraform::ACCEPT]).await,
            Self::ConsoleNarrows => console::narrows(setup).await,
            Self::ConsoleWidens => console::widens(setup).await,
        }
    }
}

impl FromStr for Incident {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|it| it.story().name == name);
        found.ok_or_else(|| "there is no such story; --list names them".to_owned())
    }
}
