//! Why the work on a group ends early.

use crate::desired::Unreadable;
use crate::ports::ApiError;

/// What ended the work on a group, or prevented a write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WorkError {
    /// A call failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Somebody deleted the record since it was first read.
    #[error("the record was taken away meanwhile")]
    RecordGone,
    /// Somebody changed the record into one that cannot be understood.
    #[error(transparent)]
    RecordUnreadable(Unreadable),
    /// Others wrote the same item at each try.
    #[error("{what} kept changing: gave up after {tries} tries")]
    Contention {
        /// The item to write.
        what: &'static str,
        /// The number of tries.
        tries: usize,
    },
}

impl WorkError {
    /// Whether the table did not take a write. A record that is gone or cannot be understood needs none.
    pub(super) fn leaves_unsaved(&self) -> bool {
        matches!(self, Self::Api(_) | Self::Contention { .. })
    }

    /// Whether another delivery could help. It reads a changed record again.
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::Api(error) => error.is_retryable(),
            Self::RecordGone | Self::RecordUnreadable(_) | Self::Contention { .. } => true,
        }
    }
}
