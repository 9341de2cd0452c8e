//! Rules on their way into a call, and what was learnt about them on the way.

use std::collections::VecDeque;

use crate::decide::plan::Batch;
use crate::model::{IngressRule, Tags};

/// A call refused for tags is tried without each tag in turn as long as there are no more than this many, so that one
/// bad tag costs one tag. Beyond, or with two bad tags, the rules come back without any.
const TAGS_TRIED_APART_MAX: usize = 8;

/// Rules waiting to be authorized in one call.
#[derive(Debug, Clone)]
pub(super) struct Work {
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

/// Tags left out of a try, and the code under which tags were refused before.
#[derive(Debug, Clone)]
pub(super) struct SetAside {
    pub(super) tags: Tags,
    pub(super) refused: Option<String>,
}

impl Work {
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

    /// The same with the tags that a try had set aside: what it met has nothing to do with them.
    pub(super) fn retagged(mut self) -> Self {
        if let Some(SetAside { tags, refused }) = self.set_aside.take() {
            self.batch.tags = tags;
            self.tags_refused = refused;
        }
        self
    }

    /// The next set of tags to try, and whether there was one.
    pub(super) fn fall_back(&mut self, code: &str) -> bool {
        if self.tags_refused.is_none() {
            self.tags_refused = Some(code.to_owned());
            let tags = &self.batch.tags;
            if (2..=TAGS_TRIED_APART_MAX).contains(&tags.len()) {
                let one_less = tags.keys().map(|left_out| {
                    let kept = tags.iter().filter(|(key, _)| *key != left_out);
                    kept.map(|(key, value)| (key.clone(), value.clone()))
                        .collect()
                });
                self.fallback_tags = one_less.collect();
            }
            self.fallback_tags.push_back(Tags::new());
        }
        match self.fallback_tags.pop_front() {
            Some(tags) => {
                self.batch.tags = tags;
                true
            }
            None => false,
        }
    }
}
