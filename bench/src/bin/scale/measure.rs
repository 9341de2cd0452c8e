//! What is measured: calls off the endpoint's journal, invocations, memory of the function's processes.

use std::collections::BTreeMap;
use std::fs;

use rulekeeper_local::{Outcome, Stack};

use rulekeeper_bench::Failure;

/// The role that the function's calls are made with.
const FUNCTION: &str = "rulekeeper-function";

/// What a run cost.
#[derive(Debug)]
pub(crate) struct Cost {
    pub(crate) invocations: usize,
    /// Invocations that ended in an error, and are tried again.
    pub(crate) failed: usize,
    /// The function's calls by action.
    pub(crate) calls: BTreeMap<String, usize>,
    /// Those of them that EC2 refused for being too many.
    pub(crate) throttled: usize,
    /// The largest of its processes, in MiB.
    pub(crate) peak_mib: f64,
}

impl Cost {
    pub(crate) fn of(stack: &Stack) -> Result<Self, Failure> {
        let mut calls = BTreeMap::new();
        let mut throttled = 0;
        for call in stack.cloud().calls() {
            if !call.principal.contains(FUNCTION) {
                continue;
            }
            throttled += usize::from(call.outcome.as_deref() == Some("RequestLimitExceeded"));
            *calls.entry(call.action).or_default() += 1;
        }
        let invocations = stack.lambda().invocations();
        let ended_well = |outcome| outcome == Outcome::Success;
        Ok(Self {
            failed: invocations
                .iter()
                .filter(|one| !ended_well(one.outcome))
                .count(),
            invocations: invocations.len(),
            calls,
            throttled,
            peak_mib: peak_kib()? as f64 / 1024.0,
        })
    }

    pub(crate) fn count(&self, action: &str) -> usize {
        self.calls.get(action).copied().unwrap_or(0)
    }

    /// The calls of all other actions.
    pub(crate) fn others(&self, named: &[&str]) -> usize {
        let others = self
            .calls
            .iter()
            .filter(|(action, _)| !named.contains(&action.as_str()));
        others.map(|(_, count)| count).sum()
    }
}

/// The most memory that any process of ours held at once, as Linux counts it (`VmHWM` in `/proc/PID/status`); 0 elsewhere.
fn peak_kib() -> Result<u64, Failure> {
    let ours = format!("PPid:\t{}\n", std::process::id());
    let mut peak = 0;
    let Ok(processes) = fs::read_dir("/proc") else {
        return Ok(0);
    };
    for process in processes {
        // A process may end while we look.
        let Ok(status) = fs::read_to_string(process?.path().join("status")) else {
            continue;
        };
        if !status.contains(&ours) {
            continue;
        }
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kib.unwrap_or(0));
    }
    Ok(peak)
}
