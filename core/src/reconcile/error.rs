//! Why the work on a group ends early.

use crate::desired::Unreadable;
use crate::ports::ApiError;

/// What ended the work on a group, or kept something from being written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WorkError {
    /// A call did not succeed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Somebody deleted the record since it was first read.
    #[error("the record was taken away meanwhile")]
    RecordGone,
    /// Somebody changed the record into one that cannot be understood.
    #[error(transparent)]
    RecordUnreadable(Unreadable),
    /// Others wrote the same item each time.
    #[error("{what} kept changing: gave up after {tries} tries")]
    Contention {
        /// What was to be written.
        what: &'static str,
        /// How often it was tried.
        tries: usize,
    },
}

impl WorkError {
    /// Whether another delivery could help. A record that changed meanwhile is read anew then.
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::Api(error) => error.is_retryable(),
            Self::RecordGone | Self::RecordUnreadable(_) | Self::Contention { .. } => true,
        }
    }
}
