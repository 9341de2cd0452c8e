//! Memory and open files of the function's processes, as Linux counts them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The most open files of a process: a connection or two for each service, the Runtime API, and those of tokio.
const FILES_MAX: usize = 40;

/// How much more memory the last quarter may need than the first, in MiB, as buffers differ.
const GROWTH_MAX: f64 = 6.0;

#[derive(Debug, Default)]
pub(super) struct Processes {
    /// The memory of each process over time, in MiB.
    seen: BTreeMap<u32, Vec<f64>>,
    pub(super) most_files: usize,
}

/// The median memory of the process that was seen most often, in MiB.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) first: f64,
    pub(super) last: f64,
}

impl Processes {
    pub(super) fn look(&mut self) {
        let parent = format!("PPid:\t{}\n", std::process::id());
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let folder = process.path();
            let name = process.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A process may have ended since the folder was read.
            let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
            if status.contains(&parent) && status.starts_with("Name:\trulekeeper-func") {
                self.note(id, &status, &folder);
            }
        }
    }

    fn note(&mut self, id: u32, status: &str, folder: &Path) {
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        if let Some(kib) = kib {
            self.seen.entry(id).or_default().push(kib / 1024.0);
        }
        let files = fs::read_dir(folder.join("fd")).map_or(0, Iterator::count);
        self.most_files = self.most_files.max(files);
    }

    pub(super) fn memory(&self) -> Memory {
        let oldest = self.seen.values().max_by_key(|seen| seen.len());
        let seen = oldest.map_or(&[][..], Vec::as_slice);
        let quarter = seen.len() / 4;
        Memory {
            first: median(&seen[..quarter]),
            last: median(&seen[seen.len() - quarter..]),
        }
    }

    /// Fails if a process opened many files, or if the oldest grew over a long time.
    pub(super) fn check(&self, long: bool) {
        let Memory { first, last } = self.memory();
        assert!(first > 0.0, "no process was seen; this test needs Linux");
        assert!(
            self.most_files <= FILES_MAX,
            "{} open files",
            self.most_files
        );
        assert!(
            !long || last <= first + GROWTH_MAX,
            "grown from {first} MiB to {last} MiB"
        );
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
