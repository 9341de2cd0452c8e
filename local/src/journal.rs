//! The call journal: every API call, in the order of arrival.

use serde::Serialize;

use crate::times;

/// One API call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Position in the journal, from 1, by arrival.
    pub sequence: u64,
    /// Arrival, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// `ec2`, `sts`, `dynamodb`, `sqs`, `events`, `cloudtrail` or `lambda`.
    pub service: String,
    /// The action or operation.
    pub action: String,
    /// The caller's account.
    pub account: String,
    /// The Region of the credential scope.
    pub region: String,
    /// The caller's ARN.
    pub principal: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// The first security group id the call names (EC2 only).
    pub group: Option<String>,
    /// `None` while the call runs; then `Success`, an error code, `ConnectionDropped` or `Silence`.
    pub outcome: Option<String>,
    /// The HTTP status of the answer, if there was one.
    pub status: Option<u16>,
    /// Its duration, in microseconds; 0 while it runs.
    pub took_us: u64,
}

/// The list and its counter.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    next: u64,
    pub(crate) calls: Vec<Call>,
}

impl Journal {
    /// Adds a call and returns its sequence number.
    pub(crate) fn open(&mut self, mut call: Call) -> u64 {
        self.next += 1;
        call.sequence = self.next;
        call.time_ms = times::epoch_ms();
        self.calls.push(call);
        self.next
    }

    /// Notes how a call ended, unless the journal was cleared in the meantime.
    pub(crate) fn close(
        &mut self,
        sequence: u64,
        outcome: &str,
        status: Option<u16>,
        took_us: u64,
    ) {
        if let Some(call) = self
            .calls
            .iter_mut()
            .rev()
            .find(|call| call.sequence == sequence)
        {
            call.outcome = Some(outcome.to_owned());
            call.status = status;
            call.took_us = took_us;
        }
    }
}
