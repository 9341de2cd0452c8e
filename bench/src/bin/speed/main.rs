//! How fast the function is (`make bench`): cold and warm, beside a function that answers at once, one that makes the needed
//! calls and no more, and the plain function on boto3 that a team would write.
//!
//! All figures of a table come from one run, in which the programs take turns. The local stack stands in for AWS; a proxy
//! before it notes how long each call was in the servers' hands, so *own time* is what is left: the program's work, and the
//! way over loopback and back. Medians, with the quartiles in brackets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rulekeeper_bench::screen::{Screen, markdown_row};
use rulekeeper_bench::{Result, exit_code};

mod baseline;
mod cgroup;
mod figures;
mod gate;
mod groups;
mod http;
mod instructions;
mod programs;
mod runtime;
mod size;

use cgroup::Cgroup;
use figures::{Figures, Sample};
use groups::Place;
use programs::{Program, programs};

/// Measures one event, cold and warm, beside other functions.
#[derive(Debug, Parser)]
#[command(name = "speed")]
struct Options {
    /// The folder with the release builds of the function, `floor` and `bare`.
    #[arg(long, value_name = "FOLDER", default_value = "target/release")]
    release: PathBuf,
    /// Another build of the function, measured beside the first.
    #[arg(long, value_name = "FILE")]
    other: Option<PathBuf>,
    /// A Python that has boto3; without it, that function is left out.
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// Events of each kind for each program.
    #[arg(long, value_name = "N", default_value_t = 15)]
    samples: usize,
    /// Only what contains this: `plain`, `TLS`, `512 MB`, `growth` or `instructions`.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Keep callgrind's files in this folder, for `callgrind_annotate`.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Only count instructions of the function in the folder and of `examples/work`, and compare them with this file.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write that file instead.
    #[arg(long, requires = "baseline")]
    update: bool,
}

/// How the calls of a table are made.
#[derive(Debug, Clone, Copy)]
struct Setting {
    tls: bool,
    delay: Duration,
    held: bool,
}

/// The share of a processor that Lambda gives to 512 MB: one for 1,769 MB (Lambda Developer Guide, "Configure Lambda
/// function memory").
const SHARE: f64 = 512.0 / 1_769.0;

fn main() -> ExitCode {
    exit_code(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let screen = Screen::stdout();
    let programs = programs(
        &options.release,
        options.other.as_deref(),
        options.python.as_deref(),
    )?;
    let place = Place::start(false)?;
    if let Some(file) = &options.baseline {
        if !instructions::is_possible() {
            return Err("there is no valgrind, which counts instructions".into());
        }
        return baseline::compare(&screen, &place, &programs[0], file, options.update);
    }
    size::table(&screen, &programs)?;
    let secure = Place::start(true)?;
    let cgroup = Cgroup::with_share(SHARE);
    let ms = Duration::from_millis;
    for (tls, delay, held) in [
        (false, 0, false),
        (false, 15, false),
        (true, 0, false),
        (true, 15, false),
        (false, 15, true),
        (true, 15, true),
    ] {
        let setting = Setting {
            tls,
            delay: ms(delay),
            held,
        };
        let name = setting.name();
        if !name.contains(&options.only) {
            continue;
        }
        screen.subheading(&name)?;
        let group = match (&cgroup, held) {
            (_, false) => None,
            (Ok(cgroup), true) => Some(cgroup),
            (Err(error), true) => {
                screen.line(&format!(
                    "Not measured: no cgroup can be made here: {error}"
                ))?;
                continue;
            }
        };
        let place = if tls { &secure } else { &place };
        // The client of `bare` speaks no TLS.
        let programs: Vec<&Program> = programs
            .iter()
            .filter(|it| !(tls && it.is_bare()))
            .collect();
        one_event(&screen, place, setting, group, &programs, options.samples)?;
    }
    for (tls, delay) in [(false, 0), (false, 15), (true, 0), (true, 15)] {
        let setting = Setting {
            tls,
            delay: ms(delay),
            held: false,
        };
        let name = format!("growth; {}", setting.calls());
        if name.contains(&options.only) {
            screen.subheading(&name)?;
            let place = if tls { &secure } else { &place };
            growth(&screen, place, setting, &programs, options.samples)?;
        }
    }
    if "instructions".contains(&options.only) {
        screen.subheading("instructions, 20 rules, one dropped")?;
        let keep = options.keep.as_deref();
        instructions(&screen, &place, &secure, &programs, keep)?;
    }
    Ok(())
}

/// Instructions of a start, and of one warm event.
fn instructions(
    screen: &Screen,
    place: &Place,
    secure: &Place,
    programs: &[Program],
    keep: Option<&Path>,
) -> Result<()> {
    if !instructions::is_possible() {
        screen.line("Not counted: there is no valgrind here")?;
        return Ok(());
    }
    screen.markdown_head(&[
        "program",
        "protocol",
        "start, million",
        "warm event, million",
    ])?;
    for program in programs {
        // The client of `bare` speaks no TLS.
        let places = [Some(place), (!program.is_bare()).then_some(secure)];
        for place in places.into_iter().flatten() {
            let counted = instructions::counted(place, program, 20, 10, keep)?;
            let millions = |count: u64| format!("{:.2}", count as f64 / 1e6);
            screen.line(&markdown_row(&[
                program.name.clone(),
                place.gate.protocol().to_owned(),
                millions(counted.init),
                millions(counted.warm),
            ]))?;
        }
    }
    Ok(())
}

impl Setting {
    fn name(self) -> String {
        let cpu = if self.held { ", CPU of 512 MB" } else { "" };
        format!("20 rules, one dropped; {}{cpu}", self.calls())
    }

    fn calls(self) -> String {
        let protocol = if self.tls { "TLS" } else { "plain" };
        format!("{protocol}, {} ms per call", self.delay.as_millis())
    }
}

/// One event, in one setting.
fn one_event(
    screen: &Screen,
    place: &Place,
    setting: Setting,
    cgroup: Option<&Cgroup>,
    programs: &[&Program],
    samples: usize,
) -> Result<()> {
    place.gate.delay(setting.delay);
    let cold = figures(programs, samples, |_, program| {
        let instance = program.start(place, cgroup)?;
        let mut sample = place.event(&instance, 20, 1, program)?;
        sample.init = Some(instance.init);
        sample.cpu = instance.cpu()?;
        sample.peak_kib = Some(instance.peak_kib()?);
        Ok(sample)
    })?;
    let warm = warm(place, cgroup, programs, 20, 1, samples)?;
    let mut head = vec![String::new()];
    head.extend(programs.iter().map(|it| it.name.clone()));
    screen.markdown_head(&head)?;
    for (name, of, cells) in [
        (
            "cold: start to first poll, ms",
            &cold,
            Figures::init as fn(&Figures) -> String,
        ),
        (
            "cold: start to rule back, ms",
            &cold,
            Figures::start_to_back,
        ),
        ("cold: start to answer, ms", &cold, Figures::start_to_answer),
        ("cold: CPU of start and event, ms", &cold, Figures::cpu),
        (
            "cold: connections opened by the event",
            &cold,
            Figures::opened,
        ),
        ("cold: peak memory, MiB", &cold, Figures::peak),
        ("warm: event to rule back, ms", &warm, Figures::back),
        ("warm: event to answer, ms", &warm, Figures::answer),
        ("warm: own time until back, ms", &warm, Figures::own_back),
        (
            "warm: own time until answer, ms",
            &warm,
            Figures::own_answer,
        ),
        (
            "warm: in the servers' hands until answer, ms",
            &warm,
            Figures::servers,
        ),
        ("warm: CPU, ms", &warm, Figures::cpu),
        ("warm: calls", &warm, Figures::calls),
        ("warm: round trips until back", &warm, Figures::rounds_back),
        (
            "warm: round trips until answer",
            &warm,
            Figures::rounds_answer,
        ),
    ] {
        let mut row = vec![name.to_owned()];
        row.extend(of.iter().map(cells));
        screen.line(&markdown_row(&row))?;
    }
    Ok(())
}

/// Own time and CPU by the number of rules.
fn growth(
    screen: &Screen,
    place: &Place,
    setting: Setting,
    programs: &[Program],
    samples: usize,
) -> Result<()> {
    place.gate.delay(setting.delay);
    let measured = programs.iter().filter(|it| it.restores_by_record());
    let measured: Vec<&Program> = measured.collect();
    let mut head = vec!["rules".to_owned(), "dropped".to_owned()];
    for what in ["own time until back, ms", "CPU, ms", "calls"] {
        head.extend(measured.iter().map(|it| format!("{}: {what}", it.name)));
    }
    screen.markdown_head(&head)?;
    for rules in [1, 20, 60, 200, 1_000] {
        // CloudTrail leaves the parameters out of a record that more rules would make larger than 100 KB.
        let dropped = BTreeSet::from([1, rules.min(100)]);
        for dropped in dropped {
            let warm = warm(place, None, &measured, rules, dropped, samples)?;
            let mut row = vec![rules.to_string(), dropped.to_string()];
            for cell in [Figures::own_back, Figures::cpu, Figures::calls] {
                row.extend(warm.iter().map(cell));
            }
            screen.line(&markdown_row(&row))?;
        }
    }
    Ok(())
}

/// Events of one process of each program. Each has a group of its own, so that none is contested.
fn warm(
    place: &Place,
    cgroup: Option<&Cgroup>,
    programs: &[&Program],
    rules: usize,
    dropped: usize,
    samples: usize,
) -> Result<Vec<Figures>> {
    let start = |program: &&Program| program.start(place, cgroup);
    let instances = programs.iter().map(start).collect::<Result<Vec<_>>>()?;
    for (instance, program) in instances.iter().zip(programs) {
        for _ in 0..3 {
            place.event(instance, rules, dropped, program)?;
        }
    }
    figures(programs, samples, |place_of, program| {
        place.event(&instances[place_of], rules, dropped, program)
    })
}

/// So many samples of each program, in turns of random order: who comes after whom has an effect.
fn figures(
    programs: &[&Program],
    samples: usize,
    mut sample: impl FnMut(usize, &Program) -> Result<Sample>,
) -> Result<Vec<Figures>> {
    let mut figures: Vec<Figures> = programs.iter().map(|_| Figures::default()).collect();
    let mut order: Vec<usize> = (0..programs.len()).collect();
    for _ in 0..samples {
        fastrand::shuffle(&mut order);
        for &at in &order {
            let name = &programs[at].name;
            let sample = sample(at, programs[at]).map_err(|error| format!("{name}: {error}"))?;
            figures[at].samples.push(sample);
        }
    }
    Ok(figures)
}
