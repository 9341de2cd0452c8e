//! Instructions, counted by Valgrind's callgrind: they do not depend on what else the machine does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs, process};

use rulekeeper_bench::Result;

use crate::groups::Place;
use crate::programs::Program;

/// Events before those that are counted: the first ones make what lasts.
const FIRST: usize = 3;

/// What was counted of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// From its start to its first request for an event.
    pub(crate) init: u64,
    /// One event of a process that had others.
    pub(crate) warm: u64,
}

/// Whether Valgrind is there.
pub(crate) fn is_possible() -> bool {
    let version = Command::new("valgrind").arg("--version").output();
    version.is_ok_and(|it| it.status.success())
}

/// Counts a program's instructions, those of a warm event as the difference between a shorter and a longer run.
///
/// # Errors
/// When it does not run under Valgrind.
pub(crate) fn counted(
    place: &Place,
    program: &Program,
    rules: usize,
    events: u32,
    keep: Option<&Path>,
) -> Result<Counted> {
    place.gate.delay(Duration::ZERO);
    let run = |count: usize| -> Result<u64> {
        let file = match keep {
            Some(folder) => {
                let protocol = place.gate.protocol();
                folder.join(format!(
                    "{}.{protocol}.{rules}-rules.{count}-events",
                    program.name
                ))
            }
            None => env::temp_dir().join(format!("rulekeeper-callgrind-{}", process::id())),
        };
        let total = run(place, program, rules, count, &file)?;
        if keep.is_none() {
            fs::remove_file(file)?;
        }
        Ok(total)
    };
    let (init, first) = (run(0)?, run(FIRST)?);
    let more = run(FIRST + usize::try_from(events)?)?;
    Ok(Counted {
        init,
        warm: more.saturating_sub(first) / u64::from(events),
    })
}

/// The instructions of a process with so many events. Leaves callgrind's file.
fn run(place: &Place, program: &Program, rules: usize, events: usize, file: &Path) -> Result<u64> {
    let [tool, arguments @ ..] = callgrind(file);
    let instance = program.start_under(place, &tool, &arguments)?;
    for _ in 0..events {
        place.event(&instance, rules, 1, program)?;
    }
    instance.terminate()?;
    total(file)
}

/// Counts what one time of a work takes in a program that does it so many times.
///
/// # Errors
/// When it does not run under Valgrind.
pub(crate) fn of_work(program: &Path, work: &str, rules: usize) -> Result<u64> {
    const TIMES: u64 = 10;
    let run = |times: u64| -> Result<u64> {
        let file = env::temp_dir().join(format!("rulekeeper-callgrind-{}", process::id()));
        let [tool, arguments @ ..] = callgrind(&file);
        let mut command = Command::new(tool);
        command.args(arguments).arg(program).arg(work);
        command.args([rules.to_string(), times.to_string()]);
        let output = command.output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let total = total(&file)?;
        fs::remove_file(file)?;
        Ok(total)
    };
    Ok(run(1 + TIMES)?.saturating_sub(run(1)?) / TIMES)
}

fn callgrind(file: &Path) -> [PathBuf; 4] {
    let out = format!("--callgrind-out-file={}", file.display());
    ["valgrind", "--tool=callgrind", "--quiet", &out].map(PathBuf::from)
}

fn total(file: &Path) -> Result<u64> {
    let text = fs::read_to_string(file)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.ok_or("callgrind wrote no total")?;
    Ok(total.trim().parse()?)
}
