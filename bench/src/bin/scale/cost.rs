//! What a run cost: API calls, invocations, and memory of the function's processes.

use std::collections::BTreeMap;
use std::fs;

use rulekeeper_bench::Result;
use rulekeeper_bench::journal::is_function;
use rulekeeper_local::{Outcome, Stack};

pub(crate) const QUERY: &str = "Query";
pub(crate) const READ: &str = "DescribeSecurityGroupRules";
pub(crate) const AUTHORIZE: &str = "AuthorizeSecurityGroupIngress";

#[derive(Debug)]
pub(crate) struct Cost {
    pub(crate) invocations: usize,
    /// Invocations that ended with an error; Lambda retries them.
    pub(crate) failed: usize,
    /// The function's calls by action.
    calls: BTreeMap<String, usize>,
    /// Calls that EC2 throttled.
    pub(crate) throttled: usize,
    /// The most memory that one process of the function used, in MiB.
    pub(crate) peak_mib: f64,
}

impl Cost {
    pub(crate) fn of(stack: &Stack) -> Result<Self> {
        let mut calls = BTreeMap::new();
        let mut throttled = 0;
        let journal = stack.cloud().calls().into_iter();
        for call in journal.filter(|call| is_function(&call.principal)) {
            throttled += usize::from(call.outcome.as_deref() == Some("RequestLimitExceeded"));
            *calls.entry(call.action).or_default() += 1;
        }
        let invocations = stack.lambda().invocations();
        let failed = invocations
            .iter()
            .filter(|it| it.outcome != Outcome::Success);
        Ok(Self {
            failed: failed.count(),
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
    pub(crate) fn others(&self, actions: &[&str]) -> usize {
        let calls = self.calls.iter();
        let others = calls.filter(|(action, _)| !actions.contains(&action.as_str()));
        others.map(|(_, count)| count).sum()
    }
}

/// The most memory that a child process used, as Linux counts it (`VmHWM` in `/proc/PID/status`); 0 on other systems.
fn peak_kib() -> Result<u64> {
    let parent = format!("PPid:\t{}\n", std::process::id());
    let mut peak = 0;
    let Ok(processes) = fs::read_dir("/proc") else {
        return Ok(0);
    };
    for process in processes {
        // A process may have exited since the folder was read.
        let Ok(status) = fs::read_to_string(process?.path().join("status")) else {
            continue;
        };
        if !status.contains(&parent) {
            continue;
        }
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kib.unwrap_or(0));
    }
    Ok(peak)
}
