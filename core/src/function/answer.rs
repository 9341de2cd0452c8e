//! The function's answer.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::permissions::Findings;
use crate::reconcile::GroupResult;
use crate::report::{ChatNotice, Report, WatchReport};
use crate::sweep::SweepResult;

/// The answers to the messages of a delivery. They tell SQS which messages to deliver again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueAnswer {
    /// The answers by message id.
    pub messages: Vec<(String, Answer)>,
}

/// Only the fields that Lambda asks for (Lambda Developer Guide, "Handling errors for an SQS event source"). An unknown
/// field might count as a failure of the whole batch.
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

/// The function's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// The answer to an event.
    Group(Box<GroupResult>),
    /// The answer to a schedule or a sweep request.
    Sweep(Box<SweepResult>),
    /// The answer to messages of a queue.
    Queue(QueueAnswer),
    /// What the watch did since its last report.
    Watch {
        /// The report.
        watch: WatchReport,
    },
    /// The answer to the doctor.
    Doctor {
        /// What was found.
        doctor: Findings,
    },
}

/// The document that Lambda passes on.
impl Serialize for Answer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Group(result) => result.report.capped().serialize(serializer),
            Self::Sweep(result) => result.report.serialize(serializer),
            Self::Queue(queue) => queue.serialize(serializer),
            Self::Watch { watch } => BTreeMap::from([("watch", watch)]).serialize(serializer),
            Self::Doctor { doctor } => BTreeMap::from([("doctor", doctor)]).serialize(serializer),
        }
    }
}

/// The function's answer, or a reference to it, with the message for chat if it is news.
#[derive(Debug, Serialize)]
pub struct Payload<A> {
    #[serde(flatten)]
    answer: A,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat: Option<ChatNotice>,
}

impl<A: Borrow<Answer>> From<A> for Payload<A> {
    fn from(answer: A) -> Self {
        let chat = match answer.borrow() {
            Answer::Group(result) => result.report.chat(),
            Answer::Sweep(sweep) => sweep.report.chat(),
            Answer::Queue(_) | Answer::Watch { .. } | Answer::Doctor { .. } => None,
        };
        Self { answer, chat }
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
            Self::Watch { .. } | Self::Doctor { .. } => Vec::new(),
        }
    }

    /// Why another delivery could help: rules are missing for a reason that may pass by itself. `None` if it could not.
    /// `None` for a queue too, because each of its messages has its own answer.
    pub fn retry_reason(&self) -> Option<String> {
        match self {
            Self::Group(result) => result.retry_reason(),
            Self::Sweep(result) if result.is_retryable() => {
                let sweep = result.reason.iter().cloned();
                let reasons = sweep.chain(result.group_retries.iter().cloned());
                Some(reasons.collect::<Vec<_>>().join(" | "))
            }
            Self::Sweep(_) | Self::Queue(_) | Self::Watch { .. } | Self::Doctor { .. } => None,
        }
    }

    /// Whether another delivery could help.
    pub fn is_retryable(&self) -> bool {
        self.retry_reason().is_some()
    }
}
