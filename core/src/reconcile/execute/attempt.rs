//! A set of rules to authorize, and what earlier tries have shown about it.

use std::collections::VecDeque;

use super::tags::SetAside;
use crate::decide::plan::Batch;
use crate::model::{IngressRule, Tags};
use crate::ports::ApiError;

/// Rules that wait to be authorized in one call.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) batch: Batch,
    /// Tags to try next if these are refused, best first.
    pub(super) fallback_tags: VecDeque<Tags>,
    /// The code that refused the tags, once they were refused.
    pub(super) tags_refused: Option<String>,
    /// Tags left out of the current try. It shows whether they caused a refusal whose code does not say.
    pub(super) set_aside: Option<SetAside>,
    /// Whether such a try was made for the batch that these rules come from.
    pub(super) tried_untagged: bool,
    /// Whether the group's room was counted for these rules.
    pub(super) room_counted: bool,
    /// Whether an unknown refusal was tried once more.
    pub(super) repeated: bool,
    /// How often EC2 said that something does not exist which it shows.
    pub(super) contradicted: u8,
    /// How many calls ended without telling whether they worked.
    pub(super) uncertain: u8,
    /// The error of the last call, if it was to be tried again.
    pub(super) unsettled: Option<ApiError>,
}

impl Attempt {
    pub(super) fn new(batch: Batch) -> Self {
        Self {
            batch,
            fallback_tags: VecDeque::new(),
            tags_refused: None,
            set_aside: None,
            tried_untagged: false,
            room_counted: false,
            repeated: false,
            contradicted: 0,
            uncertain: 0,
            unsettled: None,
        }
    }

    pub(super) fn with_rules(&self, rules: Vec<IngressRule>) -> Self {
        Self {
            batch: Batch {
                rules,
                tags: self.batch.tags.clone(),
            },
            ..self.clone()
        }
    }
}
