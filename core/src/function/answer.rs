//! What the function answers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::permissions::Findings;
use crate::report::{Report, SweepReport};

/// What became of the messages of a batch, which tells SQS which of them to bring again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// By message id.
    pub messages: Vec<(String, Answer)>,
}

/// The shape that Lambda asks for (Lambda Developer Guide, "Handling errors for an SQS event source"), and nothing else:
/// what it does not know might count as a failure of the whole batch.
impl Serialize for Batch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let failed = self.messages.iter();
        let failed = failed.filter(|(_, answer)| answer.is_retryable());
        let failed: Vec<_> = failed
            .map(|(id, _)| BTreeMap::from([("itemIdentifier", id)]))
            .collect();
        BTreeMap::from([("batchItemFailures", failed)]).serialize(serializer)
    }
}

/// What the function answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[must_use]
pub enum Answer {
    /// To an event.
    Group(Box<Report>),
    /// To a schedule or a sweep request.
    Sweep(Box<SweepReport>),
    /// To messages of a queue.
    Batch(Batch),
    /// To the doctor.
    Doctor {
        /// What was found.
        doctor: Findings,
    },
}

impl Answer {
    /// Every report in the answer.
    pub fn reports(&self) -> Vec<&Report> {
        match self {
            Self::Group(report) => vec![report],
            Self::Sweep(sweep) => sweep.reports.iter().chain(&sweep.remarks).collect(),
            Self::Batch(batch) => {
                let answers = batch.messages.iter();
                answers.flat_map(|(_, answer)| answer.reports()).collect()
            }
            Self::Doctor { .. } => Vec::new(),
        }
    }

    /// Whether rules are missing for a reason that may pass by itself, so that another delivery could help. Of a batch
    /// each message has its own answer to that.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Group(report) => report.retryable,
            Self::Sweep(sweep) => sweep.is_retryable(),
            Self::Batch(_) | Self::Doctor { .. } => false,
        }
    }
}
