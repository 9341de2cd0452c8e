//! The Lambda function: it builds the clients, passes events to the library, and returns the answers to Lambda.

// An optimized build computes the layout of the whole future of an event, whose types are nested more than 128 deep.
#![recursion_limit = "256"]

use std::io::Write as _;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use jiff::Timestamp;
use lambda_runtime::tower::util::MapRequestLayer;
use lambda_runtime::{Context, Diagnostic, LambdaEvent, LambdaInvocation, Runtime, service_fn};
use rulekeeper::aws::{Clients, load_sdk_config};
use rulekeeper::config::Config;
use rulekeeper_core::event::{Intent, WatchRequest, intent};
use rulekeeper_core::function::{Answer, Handler, Home, Payload, QueueAnswer, metrics};
use rulekeeper_core::ports::{ApiError, Budget};
use serde::Serialize;
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

fn main() -> ExitCode {
    let config = match Config::read(|name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(error) => return refuse(&error.to_string()),
    };
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return refuse(
            "AWS_LAMBDA_RUNTIME_API is not set: this program is started by Lambda, by `cargo lambda watch` or by \
             `rulekeeper-local`",
        );
    }
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .with_writer(std::io::stdout);
    tracing_subscriber::registry()
        .with(lines)
        .with(config.log.clone())
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let served = match runtime {
        Ok(runtime) => runtime.block_on(serve(config)),
        Err(error) => Err(error.into()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error.to_string()),
    }
}

fn refuse(message: &str) -> ExitCode {
    eprintln!("rulekeeper-function: {message}");
    ExitCode::FAILURE
}

async fn serve(config: Config) -> Result<(), lambda_runtime::Error> {
    let mut loader = aws_config::from_env();
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_some() {
        // As in Lambda, where the other places for credentials need not be made ready.
        loader = loader.credentials_provider(EnvironmentVariableCredentialsProvider::new());
    }
    let sdk_config = load_sdk_config(loader, None).await;
    let clients = Clients::new(sdk_config, config.table.clone(), config.role_name.clone())
        .with_queue(config.sweep_queue.clone(), config.results_bus.clone());
    clients.prepare().await;
    if std::env::var("AWS_LAMBDA_INITIALIZATION_TYPE")
        .is_ok_and(|it| it == "provisioned-concurrency")
    {
        // Nobody waits now. An event that waits for the start would wait for one more round trip.
        clients.connect().await;
    }
    let handler = Handler::new(clients, config.settings(), Timestamp::now);
    let handler = handler.with_guardrails(config.never.clone());
    let handler = Arc::new(handler.with_owner_tag(config.owner_tag.clone()));
    let service = service_fn(move |event: LambdaEvent<Value>| {
        let handler = Arc::clone(&handler);
        let arn = &event.context.invoked_function_arn;
        handler.clouds().are_in_partition_of(arn);
        let home = Home::of_function(arn)
            .with_roles(config.own_role.clone(), config.role_name.clone())
            .with_watch(config.watch_function.clone());
        async move { answer(&handler, &home, event).await.map(Payload::from) }
    });
    Runtime::new(service)
        .layer(MapRequestLayer::new(json_at_least))
        .run()
        .await
}

async fn answer(
    handler: &Handler<Clients>,
    home: &Home,
    event: LambdaEvent<Value>,
) -> Result<Answer, Diagnostic> {
    let (began, at) = (std::time::Instant::now(), Timestamp::now());
    let request = event.payload.get("watch").map(|_| intent(&event.payload));
    let answer = match request {
        Some(Intent::Watch(request)) => {
            // A type of its own, so that neither the future of every event nor the compiler's work on it grows.
            let watch: Pin<Box<dyn Future<Output = Answer>>> =
                Box::pin(watch(handler, home, &request, &event.context));
            watch.await
        }
        _ => {
            let remaining = remaining(&event.context);
            handler.handle(&event.payload, home, remaining).await
        }
    };
    write_log(&answer, &event.context.request_id, at, began.elapsed());
    if let Answer::Queue(queue) = &answer {
        tell(handler.clouds(), queue, &event.context).await;
    }
    match answer.retry_reason() {
        Some(message) => Err(Diagnostic {
            error_type: "rulekeeper.Retryable".to_owned(),
            error_message: message,
        }),
        None => Ok(answer),
    }
}

/// Watches, and logs and tells of each group that it reconciles while it goes on.
async fn watch(
    handler: &Handler<Clients>,
    home: &Home,
    request: &WatchRequest,
    context: &Context,
) -> Answer {
    let told = async |answer: &Answer| {
        let took = answer.reports().first().map_or(0, |it| it.timing.total_ms);
        let took = Duration::from_millis(took);
        write_log(answer, &context.request_id, Timestamp::now(), took);
        if let Answer::Group(_) = answer {
            let budget = Budget::of(TELL_MAX);
            let clients = handler.clouds();
            let answer = json!(Payload::from(answer));
            let told = clients.tell("Watch Result", &context.request_id, &answer, budget);
            warn_untold(told.await);
        }
    };
    // The same event may be delivered twice, with one request id. An instance has one log stream, and one run at a time.
    let run = std::env::var("AWS_LAMBDA_LOG_STREAM_NAME");
    let run = run.unwrap_or_else(|_| context.request_id.clone());
    handler
        .watch(request, home, &run, remaining(context), told)
        .await
}

/// The longest time to put a result of the watch on the bus: looks go on meanwhile.
const TELL_MAX: Duration = Duration::from_secs(10);

fn warn_untold(told: Result<(), ApiError>) {
    if let Err(error) = told {
        eprintln!("rulekeeper-function: an answer could not be put on the bus of results: {error}");
    }
}

/// Sends the results of a queue's messages to the bus of results. Lambda does this for asynchronous invocations only.
async fn tell(clients: &Clients, queue: &QueueAnswer, context: &Context) {
    let budget = Budget::of(remaining(context));
    // A message that is delivered again is reported after its last delivery.
    let done = queue.messages.iter();
    let done = done.filter(|(_, answer)| !answer.is_retryable());
    for (_, answer) in done {
        let answer = json!(Payload::from(answer));
        let told = clients
            .tell("Sweep Result", &context.request_id, &answer, budget)
            .await;
        warn_untold(told);
    }
}

/// A line of the log.
#[derive(Serialize)]
struct ReportLine<'a> {
    timestamp: Timestamp,
    level: &'a str,
    message: &'a str,
    request_id: &'a str,
    report: &'a Answer,
}

/// Logs the report and the metrics, one JSON object a line. A failed write must not fail the invocation, because the
/// rules are already restored.
fn write_log(answer: &Answer, request_id: &str, at: Timestamp, took: Duration) {
    let report = |answer: &Answer| {
        let line = ReportLine {
            timestamp: at,
            level: "INFO",
            message: "report",
            request_id,
            report: answer,
        };
        serde_json::to_string(&line).unwrap_or_else(|error| format!("{error}: {answer:?}"))
    };
    let reports = match answer {
        Answer::Queue(queue) => queue
            .messages
            .iter()
            .map(|(_, answer)| report(answer))
            .collect(),
        one => vec![report(one)],
    };
    let handler_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let mut out = std::io::stdout().lock();
    for line in reports
        .into_iter()
        .chain(metrics::lines(answer, at, handler_ms))
    {
        if let Err(error) = writeln!(out, "{line}") {
            eprintln!("rulekeeper-function: the report could not be logged: {error}");
        }
    }
}

/// The time until the deadline. A deadline in the past, as `cargo lambda watch` gives it, tells nothing, because Lambda
/// invokes nothing after a deadline.
fn remaining(context: &Context) -> Duration {
    const UNKNOWN: Duration = Duration::from_secs(30);
    context
        .deadline()
        .duration_since(SystemTime::now())
        .unwrap_or(UNKNOWN)
}

/// The runtime fails an invocation whose payload is not JSON, and Lambda would deliver it again without success. As a
/// JSON text it reaches the handler, which reports it.
fn json_at_least(mut invocation: LambdaInvocation) -> LambdaInvocation {
    if serde_json::from_slice::<Value>(&invocation.body).is_err() {
        let text = String::from_utf8_lossy(&invocation.body).into_owned();
        invocation.body = Value::String(text).to_string().into();
    }
    invocation
}
