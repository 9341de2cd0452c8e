//! A share of a processor, as Lambda gives one by the function's memory.

use std::io;
use std::path::{Path, PathBuf};
use std::{fs, process};

/// The period over which the kernel counts, in microseconds. Lambda's is not documented; measurements by others found 20 ms.
const PERIOD_US: f64 = 20_000.0;

/// A cgroup of ours, removed when dropped.
#[derive(Debug)]
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes a cgroup that may use this share of one processor. Needs root, and the `cpu` controller.
    ///
    /// # Errors
    /// When the kernel or its configuration does not let us.
    pub(crate) fn with_share(share: f64) -> io::Result<Self> {
        let name = format!("rulekeeper-speed-{}", process::id());
        let (period, quota) = (PERIOD_US as u64, (PERIOD_US * share) as u64);
        let first = Path::new("/sys/fs/cgroup/cpu");
        let group = match first.is_dir() {
            true => Self(first.join(name)),
            false => Self(Path::new("/sys/fs/cgroup").join(name)),
        };
        fs::create_dir(&group.0)?;
        if first.is_dir() {
            fs::write(group.0.join("cpu.cfs_period_us"), period.to_string())?;
            fs::write(group.0.join("cpu.cfs_quota_us"), quota.to_string())?;
        } else {
            fs::write(group.0.join("cpu.max"), format!("{quota} {period}"))?;
        }
        Ok(group)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // An error leaves an empty folder, which the kernel forgets at its next start.
        let _ = fs::remove_dir(&self.0);
    }
}
