//! Handles refused tags: the rules are restored with fewer tags, or without any.

use super::{Attempt, Executor};
use crate::model::Tags;
use crate::ports::{ApiError, SecurityGroups, Verdict};

/// With at most this many tags, a refused call is tried without each tag in turn, so that one bad tag costs only that
/// tag. With more tags, or with two bad tags, the rules are restored without any.
const TAGS_TRIED_APART_MAX: usize = 8;

/// Tags left out of a try, and the code that refused tags before.
#[derive(Debug, Clone)]
pub(super) struct SetAside {
    pub(super) tags: Tags,
    pub(super) refused: Option<String>,
}

impl<E: SecurityGroups> Executor<'_, E> {
    pub(super) fn on_tags_refused(&mut self, mut attempt: Attempt, error: &ApiError) {
        match attempt.fall_back(error.code()) {
            true => self.queue.push_front(attempt),
            false => self.isolate(attempt, error),
        }
    }

    /// Our role may not authorize, or may not tag. IAM treats all rules alike, so halving would not help.
    pub(super) fn on_denied(&mut self, mut attempt: Attempt, error: &ApiError) {
        if attempt.batch.tags.is_empty() {
            return self.fail_everything(attempt, error, false);
        }
        attempt.tags_refused = Some(error.code().to_owned());
        attempt.fallback_tags.clear();
        attempt.batch.tags.clear();
        self.queue.push_front(attempt);
    }

    /// A refusal of tags does not always carry a code for tags. So a batch with tags is tried once without them, and so
    /// is each rule that was isolated. Returns the attempt with its tags if the tags are not the cause.
    pub(super) fn try_untagged(&mut self, attempt: Attempt, error: &ApiError) -> Option<Attempt> {
        let alone = attempt.batch.rules.len() == 1;
        let blames_rules = attempt.set_aside.is_some();
        let may_blame_tags =
            matches!(error.verdict(), Verdict::BadRule | Verdict::Unknown) && !blames_rules;
        let mut attempt = attempt.retagged();
        if !may_blame_tags || attempt.batch.tags.is_empty() || !alone && attempt.tried_untagged {
            return Some(attempt);
        }
        attempt.tried_untagged = true;
        let tags = std::mem::take(&mut attempt.batch.tags);
        let refused = attempt.tags_refused.replace(error.code().to_owned());
        attempt.set_aside = Some(SetAside { tags, refused });
        self.queue.push_front(attempt);
        None
    }
}

impl Attempt {
    /// The same attempt with the tags that a try had left out, because the answer was not about tags.
    pub(super) fn retagged(mut self) -> Self {
        if let Some(SetAside { tags, refused }) = self.set_aside.take() {
            self.batch.tags = tags;
            self.tags_refused = refused;
        }
        self
    }

    /// Takes the next set of tags to try. Returns whether there was one.
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
