//! What a run cost: API calls, invocations, and memory of the function's processes.

use std::collections::BTreeMap;
use std::fs;

use rulekeeper_bench::Result;
use rulekeeper_bench::journal::is_function;
use rulekeeper_local::{Outcome, Stack};

pub(crate) const QUERY: &str = "Query";
pub(crate) const READ: &str = "DescribeSecurityGroupRules";
pub(crate) const AUTHORIZE: &str = "AuthorizeSecurityGroupIngress";

/// The processor time of all child processes so far, in ms; 0 on systems other than Linux.
pub(crate) fn cpu_ms() -> Result<f64> {
    let mut ms = 0.0;
    for stat in of_children("stat")? {
        // Behind the name: the state, the parent, ..., and user and system time as the 12th and 13th, in hundredths of a second.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split(' ')
            .collect();
        let ticks = |place: usize| fields.get(place).and_then(|it| it.parse::<f64>().ok());
        ms += 10.0 * (ticks(12).unwrap_or(0.0) + ticks(13).unwrap_or(0.0));
    }
    Ok(ms)
}

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
    let peaks = of_children("status")?.into_iter().filter_map(|status| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    });
    Ok(peaks.max().unwrap_or(0))
}

/// A file of each child process; none on systems other than Linux.
fn of_children(file: &str) -> Result<Vec<String>> {
    let parent = format!("PPid:\t{}\n", std::process::id());
    let Ok(processes) = fs::read_dir("/proc") else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for process in processes {
        let folder = process?.path();
        // A process may have exited since the folder was read.
        let Ok(status) = fs::read_to_string(folder.join("status")) else {
            continue;
        };
        if status.contains(&parent) {
            files.extend(fs::read_to_string(folder.join(file)));
        }
    }
    Ok(files)
}
