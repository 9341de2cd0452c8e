//! `rulekeeper-local`: the cloud on loopback, from the command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use jiff::SignedDuration;
use rulekeeper_local::{
    Delivery, EventSource, LambdaConfig, LogSink, QueueConfig, Stack, StackConfig,
};

/// EC2's security groups, CloudTrail, EventBridge, DynamoDB and Lambda on loopback.
#[derive(Debug, Parser)]
#[command(name = "rulekeeper-local", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the stack, print the environment for AWS clients, and run until Ctrl-C.
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Serve {
    /// Port of the AWS endpoint and the admin API; 0 for any.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port of the Lambda Runtime API for functions started by hand; 0 for any.
    #[arg(long, default_value_t = 0)]
    runtime_port: u16,
    /// Account of callers that assumed no role.
    #[arg(long, default_value = "111122223333", value_parser = account)]
    account: String,
    /// Region of the function.
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    region: String,
    /// The function's program, started for each instance.
    #[arg(long, value_name = "PATH")]
    function: Option<PathBuf>,
    /// The function's name.
    #[arg(long, default_value = "rulekeeper")]
    function_name: String,
    /// A variable for the function; may be repeated.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// DynamoDB table to make (keys pk and sk), and RULEKEEPER_TABLE for the function.
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// SQS queue to make, whose messages go to the function one by one, and RULEKEEPER_SWEEP_QUEUE for the function.
    #[arg(long, value_name = "NAME")]
    sweep_queue: Option<String>,
    /// Use this DynamoDB instead of the embedded one; a table is not made there.
    #[arg(long, value_name = "URL")]
    dynamodb_endpoint: Option<String>,
    /// Time from an API call to the function's queue.
    #[arg(long, default_value = "2s", value_parser = duration)]
    delay: Duration,
    /// Most random extra delay.
    #[arg(long, default_value = "0s", value_parser = duration)]
    jitter: Duration,
    /// Longest run of one invocation.
    #[arg(long, default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// Most instances at once.
    #[arg(long, default_value_t = 10)]
    concurrency: usize,
    /// Waits before the retries of a failed event, separated by commas; "none" for no retries.
    #[arg(long, default_value = "60s,120s", value_parser = waits)]
    retry_waits: Waits,
}

/// Waits before retries.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Waits(Vec<Duration>);

fn waits(text: &str) -> Result<Waits, String> {
    if text == "none" {
        return Ok(Waits(Vec::new()));
    }
    text.split(',')
        .map(duration)
        .collect::<Result<_, _>>()
        .map(Waits)
}

fn account(text: &str) -> Result<String, String> {
    let fits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.to_owned())
        .ok_or_else(|| "an account id has 12 digits".to_owned())
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "NAME=VALUE is needed".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A duration as jiff reads it, such as `250ms`, `2s`, `1.5s` or `1m`.
fn duration(text: &str) -> Result<Duration, String> {
    let duration: SignedDuration = text
        .parse()
        .map_err(|_| "a number and ms, s or m are needed, such as 250ms".to_owned())?;
    Duration::try_from(duration).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let Command::Serve(serve) = Cli::parse().command;
    match run(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(deeper) = cause {
                text = format!("{text}: {deeper}");
                cause = deeper.source();
            }
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(serve: Serve) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(program) = serve
        .function
        .as_deref()
        .filter(|program| !program.is_file())
    {
        return Err(format!("--function: there is no file {}", program.display()).into());
    }
    let mut lambda = LambdaConfig {
        program: serve.function.map(std::path::absolute).transpose()?,
        env: serve.variables.into_iter().collect(),
        name: serve.function_name,
        timeout: serve.timeout,
        concurrency: serve.concurrency,
        retry_waits: serve.retry_waits.0,
        log: LogSink::Stderr,
        ..LambdaConfig::default()
    };
    if let Some(url) = &serve.dynamodb_endpoint {
        lambda
            .env
            .insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), url.clone());
    }
    if let Some(table) = &serve.table {
        lambda
            .env
            .insert("RULEKEEPER_TABLE".to_owned(), table.clone());
    }
    let mut queues = Vec::new();
    if let Some(name) = &serve.sweep_queue {
        let url = format!(
            "https://sqs.{}.amazonaws.com/{}/{name}",
            serve.region, serve.account
        );
        lambda.env.insert("RULEKEEPER_SWEEP_QUEUE".to_owned(), url);
        queues = sweep_queues(name);
    }
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let stack = Stack::start(StackConfig {
        port: serve.port,
        runtime_port: serve.runtime_port,
        account: serve.account,
        region: serve.region,
        table: serve
            .table
            .clone()
            .filter(|_| serve.dynamodb_endpoint.is_none()),
        delivery: Delivery {
            delay_ms: ms(serve.delay),
            jitter_ms: ms(serve.jitter),
            ..Delivery::default()
        },
        lambda,
        queues,
        ..StackConfig::default()
    })?;

    let mut exports = stack.client_env();
    exports.extend(
        serve
            .dynamodb_endpoint
            .map(|url| ("AWS_ENDPOINT_URL_DYNAMODB", url)),
    );
    exports.extend(serve.table.map(|table| ("RULEKEEPER_TABLE", table)));
    let mut out = std::io::stdout().lock();
    for (name, value) in exports {
        writeln!(out, "export {name}={value}")?;
    }
    out.flush()?;
    eprintln!("rulekeeper-local: AWS and /_local/ at {}", stack.endpoint());
    eprintln!(
        "rulekeeper-local: AWS_LAMBDA_RUNTIME_API={} for functions started by hand",
        stack.runtime_api()
    );
    eprintln!("rulekeeper-local: Ctrl-C ends it");

    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(stopped())?;
    drop(stack);
    Ok(())
}

/// The queue for the parts of sweeps and its dead-letter queue, as in the template.
fn sweep_queues(name: &str) -> Vec<QueueConfig> {
    let dead_letter_queue = format!("{name}-dead-letters");
    let source = EventSource {
        batch_size: 1,
        concurrency: 2,
    };
    let parts = QueueConfig {
        visibility_timeout: Duration::from_secs(180),
        redrive: Some((3, dead_letter_queue.clone())),
        event_source: Some(source),
        ..QueueConfig::named(name)
    };
    vec![QueueConfig::named(dead_letter_queue), parts]
}

/// Waits for Ctrl-C or SIGTERM.
async fn stopped() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(waits("none"), Ok(Waits(Vec::new())));
        assert_eq!(waits("1s,20ms").map(|waits| waits.0.len()), Ok(2));
        assert!(duration("5").is_err() && duration("s").is_err() && duration("-1s").is_err());
    }
}
