//! When and why the work on a group began.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{GroupResult, World};
use crate::event::Trigger;
use crate::model::GroupAddress;
use crate::ports::ApiError;
use crate::report::{GroupOutcome, Report};

/// When and why a reconcile began.
#[derive(Debug, Clone)]
pub(super) struct Started {
    pub(super) at: Timestamp,
    pub(super) instant: Instant,
    trigger: Trigger,
}

impl Started {
    pub(super) fn now<E, T>(world: &World<'_, E, T>, trigger: &Trigger) -> Self {
        Self {
            at: (world.now)(),
            instant: Instant::now(),
            trigger: trigger.clone(),
        }
    }

    pub(super) fn report(
        &self,
        group: GroupAddress,
        outcome: GroupOutcome,
        reason: &str,
    ) -> GroupResult {
        Report::bare(
            self.trigger.clone(),
            Some(group),
            outcome,
            reason.to_owned(),
        )
        .into()
    }

    /// Whether rules are missing is unknown then, so a retryable reason is worth another delivery.
    pub(super) fn unread(&self, group: GroupAddress, error: &ApiError, what: &str) -> GroupResult {
        let reason = format!("the {what} could not be read: {error}");
        let mut report = self.report(group, GroupOutcome::Failed, &reason);
        report.retryable = error.is_retryable();
        report.unread = true;
        report
    }

    pub(super) fn finish<E, T>(
        &self,
        world: &World<'_, E, T>,
        mut report: GroupResult,
    ) -> GroupResult {
        self.measure(world, &mut report);
        report
    }

    pub(super) fn measure<E, T>(&self, world: &World<'_, E, T>, report: &mut GroupResult) {
        report.timing.event_age_ms = report.trigger.age_ms(self.at);
        report.timing.total_ms = millis(self.instant.elapsed());
        report.calls = world.calls.counted();
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
