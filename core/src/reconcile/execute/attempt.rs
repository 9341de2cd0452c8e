//! Rules on their way into a call, and what was learnt about them on the way.

use std::collections::VecDeque;

use super::tags::SetAside;
use crate::decide::plan::Batch;
use crate::model::{IngressRule, Tags};

/// Rules waiting to be authorized in one call.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) batch: Batch,
    /// Tags to try next if these are refused, best first.
    pub(super) fallback_tags: VecDeque<Tags>,
    /// Set once tags were refused: the code that refused them.
    pub(super) tags_refused: Option<String>,
    /// The tags that are left out of the try at hand, to see whether they are to blame for a refusal that does not say.
    pub(super) set_aside: Option<SetAside>,
    /// Such a try was made for the batch that these rules come from.
    pub(super) tried_untagged: bool,
    /// The room of the group was counted for these rules.
    pub(super) room_counted: bool,
    /// An unknown refusal was tried once more.
    pub(super) repeated: bool,
    /// How often such a call ended without telling whether it worked, and had changed nothing.
    pub(super) uncertain: u8,
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
            uncertain: 0,
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
