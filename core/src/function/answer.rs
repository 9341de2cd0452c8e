//! What the function answers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::permissions::Findings;
use crate::reconcile::GroupResult;
use crate::report::Report;
use crate::sweep::SweepResult;

/// What became of the messages of a delivery, which tells SQS which of them to bring again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueAnswer {
    /// By message id.
    pub messages: Vec<(String, Answer)>,
}

/// The shape that Lambda asks for (Lambda Developer Guide, "Handling errors for an SQS event source"), and nothing else:
/// what it does not know might count as a failure of the whole batch.
impl Serialize for QueueAnswer {
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
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// To an event.
    Group(Box<GroupResult>),
    /// To a schedule or a sweep request.
    Sweep(Box<SweepResult>),
    /// To messages of a queue.
    Queue(QueueAnswer),
    /// To the doctor.
    Doctor {
        /// What was found.
        doctor: Findings,
    },
}

/// The document that Lambda hands on.
impl Serialize for Answer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Group(result) => result.report.serialize(serializer),
            Self::Sweep(result) => result.report.serialize(serializer),
            Self::Queue(queue) => queue.serialize(serializer),
            Self::Doctor { doctor } => BTreeMap::from([("doctor", doctor)]).serialize(serializer),
        }
    }
}

impl Answer {
    /// Every report in the answer.
    pub fn reports(&self) -> Vec<&Report> {
        match self {
            Self::Group(result) => vec![&result.report],
            Self::Sweep(sweep) => sweep.reports.iter().chain(&sweep.remarks).collect(),
            Self::Queue(queue) => {
                let answers = queue.messages.iter();
                answers.flat_map(|(_, answer)| answer.reports()).collect()
            }
            Self::Doctor { .. } => Vec::new(),
        }
    }

    /// Why another delivery could help: rules are missing for a reason that may pass by itself. `None` when it could not.
    /// Of a queue's messages each has its own answer to that.
    pub fn retry_reason(&self) -> Option<String> {
        match self {
            Self::Group(result) => result.retry_reason(),
            Self::Sweep(result) if result.is_retryable() => {
                let sweep = result.reason.iter().cloned();
                let reasons = sweep.chain(result.group_retries.iter().cloned());
                Some(reasons.collect::<Vec<_>>().join(" | "))
            }
            Self::Sweep(_) | Self::Queue(_) | Self::Doctor { .. } => None,
        }
    }

    /// Whether another delivery could help.
    pub fn is_retryable(&self) -> bool {
        self.retry_reason().is_some()
    }
}
