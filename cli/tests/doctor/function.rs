//! The function itself.

use std::path::Path;

use rulekeeper_local::StackConfig;

use crate::common::{ACCOUNT, REGION};
use crate::scene::{OPERATOR, Scene, said, unskipped};

#[tokio::test]
async fn a_function_that_is_absent_or_not_to_be_told_from_others() {
    let scene = Scene::new().await;
    scene.adjust(|estate| estate.function.absent = true);
    scene.only(
        1,
        "function -: failed",
        "no function of this account and Region has RULEKEEPER_TABLE",
        "--function",
    );
    let all = scene.doctor(&["--function", "rulekeeper"], 1);
    assert_eq!(unskipped(&all), ["function rulekeeper: failed"], "{all:#?}");
    said(
        &all["function rulekeeper: failed"],
        "there is no such function",
        "Deploy the stack",
    );

    scene.adjust(|estate| {
        estate.function.absent = false;
        estate.function.state = "Failed".to_owned();
    });
    scene.only(
        1,
        "function rulekeeper: failed",
        "is Failed",
        "Deploy the stack again",
    );
}

#[tokio::test]
async fn a_function_that_is_stopped_observes_or_loses_what_it_fails_on() {
    let observing = |config: &mut StackConfig| {
        config
            .lambda
            .env
            .insert("RULEKEEPER_MODE".to_owned(), "observe".to_owned());
    };
    let scene = Scene::with(observing).await;
    scene.only(
        0,
        "function_mode rulekeeper: warning",
        "observe",
        "Mode=enforce",
    );
    scene.adjust(|estate| estate.function.reserved_concurrency = Some(0));
    let all = scene.doctor(&[], 1);
    let (stopped, mode) = (
        "function_concurrency rulekeeper: failed",
        "function_mode rulekeeper: warning",
    );
    assert_eq!(unskipped(&all), [stopped, mode], "{all:#?}");
    said(
        &all[stopped],
        "reserved concurrency is 0",
        "put-function-concurrency --function-name rulekeeper",
    );
    assert!(
        all.contains_key("role the function's role: skipped"),
        "{all:#?}"
    );
    scene.adjust(|estate| {
        estate.function.reserved_concurrency = Some(10);
        estate.function.on_failure = None;
    });
    let all = scene.doctor(&[], 0);
    let lost = "function_failures rulekeeper: warning";
    assert_eq!(unskipped(&all), [lost, mode], "{all:#?}");
    said(&all[lost], "are lost", "FunctionDeadLetters");
}

#[tokio::test]
async fn a_function_with_another_table() {
    let other = |config: &mut StackConfig| {
        config
            .lambda
            .env
            .insert("RULEKEEPER_TABLE".to_owned(), "other".to_owned());
    };
    let scene = Scene::with(other).await;
    let all = scene.doctor(&["--function", "rulekeeper"], 1);
    said(
        &all["function_table rulekeeper: failed"],
        "RULEKEEPER_TABLE is other",
        "--table other",
    );
    said(
        &all["role dynamodb:Query on the table: failed"],
        "ResourceNotFoundException",
        "compare RULEKEEPER_TABLE",
    );
}

/// A function of before there was a doctor.
const OLDER: &str = "
import os, urllib.request as http
base = 'http://%s/2018-06-01/runtime/invocation/' % os.environ['AWS_LAMBDA_RUNTIME_API']
while True:
    event = http.urlopen(base + 'next')
    event.read()
    answer = b'{\"outcome\": \"ignored\", \"reason\": \"neither an event nor a request for a sweep\"}'
    http.urlopen(http.Request(base + event.headers['lambda-runtime-aws-request-id'] + '/response', data=answer))
";

#[tokio::test]
async fn a_function_that_cannot_be_asked() {
    let moto = std::env::var_os("RULEKEEPER_MOTO").expect("`make test` sets it");
    let older = |config: &mut StackConfig| {
        config.lambda.program = Some(Path::new(&moto).with_file_name("python"));
        config.lambda.args = vec!["-c".to_owned(), OLDER.to_owned()];
    };
    let scene = Scene::with(older).await;
    let wrong = "role the function's role: failed";
    scene.only(
        1,
        wrong,
        "does not know the question",
        "Update the function",
    );

    let broken = |config: &mut StackConfig| {
        config
            .lambda
            .env
            .insert("RULEKEEPER_MODE".to_owned(), "watch".to_owned());
    };
    let scene = Scene::with(broken).await;
    let all = scene.doctor(&[], 1);
    assert_eq!(
        unskipped(&all),
        ["function_mode rulekeeper: failed", wrong],
        "{all:#?}"
    );
    said(
        &all[wrong],
        "the function failed instead of answering",
        "RULEKEEPER_*",
    );

    let scene = Scene::new().await;
    scene.refuse("Invoke", "AccessDeniedException", OPERATOR);
    scene.only(
        1,
        wrong,
        "could not be asked: Invoke: AccessDeniedException",
        "Allow lambda:InvokeFunction",
    );
}

#[tokio::test]
async fn alarms_and_notices_that_nobody_reads() {
    let scene = Scene::new().await;
    let arn = |name: &str| format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}");
    scene.adjust(|estate| {
        estate.topics.insert("alarms".to_owned(), 0);
    });
    let (wrong, fix) = (
        format!("topic {}: warning", arn("alarms")),
        format!("aws sns subscribe --topic-arn {}", arn("alarms")),
    );
    scene.only(0, &wrong, "nobody reads", &fix);
    scene.adjust(|estate| {
        estate.topics.insert("alarms".to_owned(), 2);
        estate.topics.remove("notices");
    });
    let wrong = format!("topic {}: failed", arn("notices"));
    scene.only(
        1,
        &wrong,
        "there is no such topic",
        "Deploy the stack again",
    );
}
