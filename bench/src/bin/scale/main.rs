//! Sweeps of fleets and bursts of revokes (`make scale`): how many API calls they make, how long they take and how much
//! memory the function needs, at EC2's published limits.
//!
//! The function is the real one, over the Lambda Runtime API and real HTTP; `rulekeeper-local` is the cloud, with
//! token buckets as EC2 documents them, and its DynamoDB is embedded. Calls and memory are those of a real deployment;
//! times are not, because loopback answers sooner than AWS and a debug build works slower than a release. After each run,
//! every rule must be back, every group accounted for and no letter dead; one that is not, and the run fails.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rulekeeper_bench::{Failure, binaries};

mod burst;
mod measure;
mod stage;
mod sweep;

const HELP: &str = "\
Usage: scale [--function FILE] [--groups N,N,…] [--drifted PERCENT] [--rules N] [--bursts REVOKESxGROUPS,…] [--only-sweeps | --only-bursts]

  --groups    fleets to sweep, by number of groups [default: 1000,10000,50000]
  --drifted   how many groups in a hundred lost a rule [default: 1]
  --rules     rules of each group that is swept [default: 5]
  --function  the function's binary [default: the one of the same build]
  --bursts    bursts to play, as revokes and the groups they are spread over [default: 1000x200,500x1]
";

/// What is to be run.
struct Options {
    groups: Vec<usize>,
    drifted_percent: f64,
    rules: usize,
    bursts: Vec<(usize, usize)>,
    function: Option<PathBuf>,
}

impl Options {
    fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            groups: vec![1_000, 10_000, 50_000],
            drifted_percent: 1.0,
            rules: 5,
            bursts: vec![(1_000, 200), (500, 1)],
            function: None,
        };
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| format!("{argument} needs a value"))
            };
            let number = |text: &str| {
                let number = text
                    .trim()
                    .parse::<usize>()
                    .ok()
                    .filter(|number| *number > 0);
                number.ok_or_else(|| format!("{text:?} is no number above 0"))
            };
            match argument.as_str() {
                "--groups" => {
                    options.groups = value()?.split(',').map(number).collect::<Result<_, _>>()?;
                }
                "--rules" => options.rules = number(&value()?)?,
                "--drifted" => {
                    let text = value()?;
                    let percent = text
                        .parse()
                        .ok()
                        .filter(|percent| (0.0..=100.0).contains(percent));
                    options.drifted_percent =
                        percent.ok_or_else(|| format!("{text:?} is no number from 0 to 100"))?;
                }
                "--bursts" => {
                    let burst = |text: &str| {
                        let (revokes, groups) = text
                            .split_once('x')
                            .ok_or_else(|| format!("{text:?} is not REVOKESxGROUPS"))?;
                        Ok::<_, String>((number(revokes)?, number(groups)?))
                    };
                    options.bursts = value()?.split(',').map(burst).collect::<Result<_, _>>()?;
                }
                "--function" => options.function = Some(value()?.into()),
                "--only-sweeps" => options.bursts.clear(),
                "--only-bursts" => options.groups.clear(),
                other => return Err(format!("{other:?} is no option")),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        eprint!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::read(arguments.into_iter()) {
        Ok(options) => options,
        Err(problem) => {
            eprint!("scale: {problem}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(&options)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nFAILED: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let function = binaries::function(options.function.as_deref())?;
    if !options.groups.is_empty() {
        sweep::heading(&mut out)?;
    }
    for groups in &options.groups {
        sweep::run(
            &mut out,
            &function,
            *groups,
            options.drifted_percent,
            options.rules,
        )
        .await?;
    }
    if !options.bursts.is_empty() {
        burst::heading(&mut out)?;
    }
    for (revokes, groups) in &options.bursts {
        burst::run(&mut out, &function, *revokes, *groups).await?;
    }
    Ok(())
}

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
