//! What the watch did.

use serde::Serialize;

/// What one run of the watch did since its last report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WatchReport {
    /// How often it should look, in seconds.
    pub every_seconds: u64,
    /// How many groups it watches.
    pub groups: usize,
    /// How often it looked at all of them.
    pub looks: u64,
    /// The longest time from one look to the next, in milliseconds.
    pub longest_pause_ms: u64,
    /// How many groups it reconciled, because they differed from their record at two looks.
    pub reconciled: u64,
    /// How many looks EC2 throttled. After such a look the watch pauses for longer.
    pub throttled: u64,
    /// How many reads of EC2 or the table failed, throttled ones included.
    pub failed_reads: u64,
    /// The last error of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// How many watched records cannot be understood. Sweeps report them.
    pub unreadable: usize,
    /// Why the run ended, in its last report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
