//! The function: instances, the Runtime API, retries, timeouts, crashes. This test program is its own function.

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rulekeeper_local::{LambdaConfig, LogSink, Outcome, Stack, StackConfig};
use serde_json::json;

#[test]
fn function_body() {
    common::act_as_function();
}

fn start(lambda: LambdaConfig) -> Stack {
    Stack::start(StackConfig {
        lambda,
        ..StackConfig::default()
    })
    .expect("the stack starts")
}

fn quick(waits_ms: &[u64]) -> LambdaConfig {
    LambdaConfig {
        retry_waits: waits_ms
            .iter()
            .map(|ms| Duration::from_millis(*ms))
            .collect(),
        ..common::function()
    }
}

/// Whether an invocation succeeds.
async fn works(stack: &Stack) -> bool {
    let result = stack.lambda().invoke(json!({})).await;
    result.function_error.is_none()
}

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_instance_starts_cold_answers_and_stays() {
    let stack = start(common::function());
    let first = stack.lambda().invoke(json!({"n": 1})).await;
    assert_eq!(first.payload, json!({"echo": {"n": 1}}));
    assert!(first.cold_start && first.function_error.is_none());
    let second = stack.lambda().invoke(json!({"n": 2})).await;
    assert_eq!(
        (second.cold_start, second.instance),
        (false, first.instance)
    );
    let logged = stack.lambda().logs_of(&second.request_id);
    assert!(
        logged
            .iter()
            .any(|line| line.text.contains(&second.request_id)),
        "{logged:?}"
    );
    let log = stack.lambda().invocations();
    assert_eq!(log.len(), 2);
    assert_eq!(
        (log[1].outcome, log[1].attempt, log[1].asynchronous),
        (Outcome::Success, 1, false)
    );
    stack.shutdown().await;
}

#[tokio::test]
async fn the_environment_and_the_headers_are_those_of_lambda() {
    let mut lambda = common::function();
    lambda.env.insert("EXTRA".into(), "yes".into());
    let stack = start(lambda);
    let context = stack
        .lambda()
        .invoke(json!({"do": "context"}))
        .await
        .payload;
    let env = &context["env"];
    for (name, value) in [
        ("AWS_LAMBDA_FUNCTION_NAME", "rulekeeper"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/rulekeeper"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", &stack.endpoint()),
        ("EXTRA", "yes"),
    ] {
        assert_eq!(env[name], value, "{name}");
    }
    assert!(env["AWS_ACCESS_KEY_ID"].is_string() && env["AWS_LAMBDA_LOG_STREAM_NAME"].is_string());
    assert!(
        env.get("CARGO_MANIFEST_DIR").is_none(),
        "our own environment stays with us"
    );
    let head = context["head"]
        .as_str()
        .expect("headers")
        .to_ascii_lowercase();
    for name in [
        "aws-request-id",
        "deadline-ms",
        "invoked-function-arn",
        "trace-id",
    ] {
        assert!(
            head.contains(&format!("lambda-runtime-{name}: ")),
            "{name} in {head}"
        );
    }
    assert!(head.contains("arn:aws:lambda:us-east-1:111122223333:function:rulekeeper"));
}

#[tokio::test]
async fn instances_multiply_up_to_the_concurrency() {
    let stack = start(LambdaConfig {
        concurrency: 2,
        ..common::function()
    });
    let started = Instant::now();
    for _ in 0..4 {
        stack
            .lambda()
            .invoke_event(json!({"do": "sleep", "ms": 150}));
    }
    stack.lambda().wait_idle(SOON).await.expect("idle");
    assert!(
        started.elapsed() >= Duration::from_millis(300),
        "two at a time"
    );
    assert_eq!(stack.lambda().instances().len(), 2);
    assert_eq!(
        stack
            .lambda()
            .invocations()
            .iter()
            .filter(|one| one.cold_start)
            .count(),
        2
    );
    stack.lambda().kill_instances();
    assert!(works(&stack).await, "a new one comes up");
}

#[tokio::test]
async fn failed_events_are_tried_twice_more_and_then_given_up() {
    let stack = start(quick(&[20, 60]));
    let id = stack.lambda().invoke_event(json!({"do": "error"}));
    stack.lambda().wait_idle(SOON).await.expect("idle");
    let log = stack.lambda().invocations();
    assert_eq!(
        log.iter().map(|one| one.attempt).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(log.iter().all(|one| one.request_id == id
        && one.outcome == Outcome::FunctionError
        && one.asynchronous));
    assert!(log[2].started_ms - log[1].started_ms >= 60);
    let dead = stack.lambda().dead_letters();
    assert_eq!(
        (dead.len(), dead[0].reason.as_str(), dead[0].attempts),
        (1, "RetriesExhausted", 3)
    );
    assert_eq!(dead[0].error["errorType"], "Asked");
    assert_eq!(dead[0].payload, json!({"do": "error"}));
}

#[tokio::test]
async fn events_too_old_for_another_try_are_given_up() {
    let stack = start(LambdaConfig {
        max_event_age: Duration::from_millis(500),
        ..quick(&[10_000])
    });
    stack.lambda().invoke_event(json!({"do": "error"}));
    stack.lambda().wait_idle(SOON).await.expect("idle");
    assert_eq!(stack.lambda().dead_letters()[0].reason, "EventAgeExceeded");
    assert_eq!(stack.lambda().invocations().len(), 1);
}

#[tokio::test]
async fn synchronous_errors_are_returned_and_not_retried() {
    let stack = start(quick(&[1, 1]));
    let result = stack.lambda().invoke(json!({"do": "error"})).await;
    assert_eq!(result.function_error.as_deref(), Some("Unhandled"));
    assert_eq!(result.payload["errorMessage"], "as asked");
    assert_eq!(stack.lambda().invocations().len(), 1);
    assert!(stack.lambda().dead_letters().is_empty());
}

#[tokio::test]
async fn an_instance_out_of_time_is_killed() {
    let stack = start(LambdaConfig {
        timeout: Duration::from_millis(300),
        ..common::function()
    });
    let late = stack
        .lambda()
        .invoke(json!({"do": "sleep", "ms": 5000}))
        .await;
    assert_eq!(late.payload["errorType"], "Sandbox.Timedout");
    assert!(
        late.payload["errorMessage"]
            .as_str()
            .is_some_and(|text| text.ends_with("Task timed out after 0.30 seconds"))
    );
    let next = stack.lambda().invoke(json!({})).await;
    assert!(next.cold_start && next.function_error.is_none());
    assert_ne!(next.instance, late.instance);
    assert_eq!(stack.lambda().invocations()[0].outcome, Outcome::TimedOut);
}

#[tokio::test]
async fn a_crash_is_an_error() {
    let stack = start(common::function());
    let result = stack.lambda().invoke(json!({"do": "exit"})).await;
    assert_eq!(result.payload["errorType"], "Runtime.ExitError");
    assert!(
        result.payload["errorMessage"]
            .as_str()
            .is_some_and(|text| text.contains("exit status: 7"))
    );
    assert_eq!(stack.lambda().invocations()[0].outcome, Outcome::Crashed);
    assert!(works(&stack).await);
}

#[tokio::test]
async fn a_function_that_cannot_start_fails_its_event_and_is_not_started_for_ever() {
    let mut lambda = quick(&[1, 1]);
    lambda.env.insert("FAIL_INIT".into(), "3".into());
    let stack = start(lambda);
    let result = stack.lambda().invoke(json!({})).await;
    assert_eq!(result.payload["errorType"], "Init.Failed");
    stack.lambda().invoke_event(json!({}));
    stack.lambda().wait_idle(SOON).await.expect("idle");
    assert_eq!(stack.lambda().dead_letters().len(), 1);

    let missing = start(LambdaConfig::program("/nonexistent/bootstrap"));
    let result = missing.lambda().invoke(json!({})).await;
    assert!(
        result.payload["errorMessage"]
            .as_str()
            .is_some_and(|text| text.contains("/nonexistent/bootstrap"))
    );
}

#[tokio::test]
async fn wait_idle_tells_what_is_left_when_time_is_up() {
    let stack = start(LambdaConfig::default());
    stack.lambda().invoke_event(json!({}));
    let busy = stack
        .lambda()
        .wait_idle(Duration::from_millis(20))
        .await
        .expect_err("nobody takes it");
    assert_eq!(busy.load.queued, 1);
}

#[tokio::test]
async fn a_function_started_elsewhere_takes_events_at_the_plain_address() {
    let stack = start(LambdaConfig::default());
    let api = stack.runtime_api();
    let elsewhere = std::thread::spawn(move || common::serve_invocations(&api, 2));
    let one = stack.lambda().invoke(json!({"n": 1})).await;
    assert_eq!(one.payload, json!({"echo": {"n": 1}}));
    stack.lambda().invoke_event(json!({"n": 2}));
    stack.lambda().wait_idle(SOON).await.expect("idle");
    elsewhere.join().expect("it served two");
    let unknown = common::send(
        &stack.runtime_api(),
        "POST",
        "/2018-06-01/runtime/invocation/none/response",
        &[],
        "1",
    );
    assert_eq!(unknown.expect("an answer").status, 400);
}

#[tokio::test]
async fn output_goes_to_the_sink_as_well() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let log = LogSink::Call(Arc::new(move |line| {
        sink.lock().expect("no panic").push(line.text.clone())
    }));
    let stack = start(LambdaConfig {
        log,
        ..common::function()
    });
    let id = stack.lambda().invoke(json!({})).await.request_id;
    stack.shutdown().await;
    assert!(
        lines
            .lock()
            .expect("no panic")
            .iter()
            .any(|line| line.contains(&id))
    );
}

#[tokio::test]
async fn dropping_the_stack_ends_its_processes() {
    let stack = start(common::function());
    let context = stack
        .lambda()
        .invoke(json!({"do": "context"}))
        .await
        .payload;
    let api = context["env"]["AWS_LAMBDA_RUNTIME_API"]
        .as_str()
        .expect("its address")
        .to_owned();
    assert!(std::net::TcpStream::connect(&api).is_ok());
    drop(stack);
    assert!(
        std::net::TcpStream::connect(&api).is_err(),
        "its port closes with the process"
    );
}

#[tokio::test]
async fn a_change_travels_to_the_function() {
    let stack = start(common::function());
    let ec2 = stack.cloud().ec2();
    let vpc = ec2.create_vpc("10.0.0.0/16").expect("a VPC");
    let group = ec2.create_group("web", &vpc).expect("a group");
    stack.bridge().adjust(|delivery| delivery.delay_ms = 30);
    ec2.authorize(&group, &["tcp 443 from 10.0.0.0/8"])
        .expect("authorized");
    ec2.revoke(&group, &["tcp 443 from 10.0.0.0/8"])
        .expect("revoked");
    stack.lambda().wait_idle(SOON).await.expect("idle");
    let names: std::collections::BTreeSet<_> = stack
        .lambda()
        .invocations()
        .iter()
        .map(|one| one.payload["detail"]["eventName"].to_string())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}
