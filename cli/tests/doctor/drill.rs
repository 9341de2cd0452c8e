//! `tools/drill`, with the AWS CLI: on a stack where all is well, and with each link of the chain broken.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rulekeeper_local::Params;

use crate::common::ACCOUNT;
use crate::scene::{FUNCTION, OPERATOR, Scene, TABLE};

/// A program of the virtual environment in which moto is.
fn installed(name: &str) -> PathBuf {
    let moto = std::env::var_os("RULEKEEPER_MOTO");
    let moto = moto.expect("RULEKEEPER_MOTO names moto's server: run `make test`");
    Path::new(&moto).with_file_name(name)
}

fn drill(scene: &Scene, arguments: &[&str]) -> Command {
    let mut command = Command::new(installed("python"));
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/drill"))
        .arg("--aws")
        .arg(installed("aws"))
        .args(["--rulekeeper", env!("CARGO_BIN_EXE_rulekeeper")])
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nowhere")
        .envs(scene.stack.client_env())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Whether no group and no record of a drill is left.
async fn is_clean(scene: &Scene) -> bool {
    let desired =
        |item: &std::collections::HashMap<String, aws_sdk_dynamodb::types::AttributeValue>| {
            item["pk"].as_s().is_ok_and(|pk| pk.starts_with("desired#"))
                && item["sk"].as_s().is_ok_and(|sk| *sk != scene.group)
        };
    let ec2 = scene.stack.cloud().ec2().quietly();
    let groups = ec2.call("DescribeSecurityGroups", &Params::default());
    let groups = groups.expect("groups")["securityGroupInfo"].clone();
    !groups.to_string().contains("rulekeeper-drill") && !scene.items().await.iter().any(desired)
}

/// Runs a drill that ends in seconds.
fn run(scene: &Scene, table: &str) -> Output {
    let vpc = scene.stack.cloud().ec2().quietly().default_vpc();
    let vpc = vpc.expect("a VPC");
    let arguments = ["--timeout", "5", "--table", table, "--vpc", &vpc];
    drill(scene, &arguments).output().expect("Python starts")
}

/// Runs a drill, which must fail, name this link and this cause, and leave nothing behind.
async fn breaks(scene: &Scene, link: &str, found: &str) {
    let done = run(scene, TABLE);
    let said = said(&done);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("Broken: {link}:")), "{link}: {said}");
    assert!(said.contains(found), "{found}: {said}");
    assert!(is_clean(scene).await, "{said}");
}

#[tokio::test]
async fn where_all_is_well_it_says_how_long_each_leg_took_and_cleans_up() {
    let scene = Scene::new().await;
    let done = drill(&scene, &["--table", TABLE])
        .output()
        .expect("Python starts");
    let said = said(&done);
    assert_eq!(done.status.code(), Some(0), "{said}");
    for leg in [
        "until its event was",
        "until the rule was back",
        "seen from here",
        "The chain works.",
    ] {
        assert!(said.contains(leg), "{leg}: {said}");
    }
    assert!(is_clean(&scene).await, "{said}");
}

#[tokio::test]
async fn each_link_that_is_broken_is_named() {
    let scene = Scene::new().await;
    scene.adjust(|estate| estate.trails[0].logging = false);
    breaks(&scene, "trail", "is not back after 5 s").await;
    scene.adjust(|estate| {
        estate.trails[0].logging = true;
        estate.rules[0].enabled = false;
    });
    breaks(&scene, "event_rule", "wrote nothing of it").await;
    scene.adjust(|estate| estate.rules[0].enabled = true);
    // The function itself has only been looked at so far.
    scene.refuse(
        "AuthorizeSecurityGroupIngress",
        "UnauthorizedOperation",
        FUNCTION,
    );
    breaks(&scene, "restoring", "UnauthorizedOperation").await;
}

#[tokio::test]
async fn a_function_that_observes_or_has_another_table_is_named() {
    let observing = Scene::with(|config| {
        let mode = ("RULEKEEPER_MODE".to_owned(), "observe".to_owned());
        config.lambda.env.extend([mode]);
    });
    breaks(&observing.await, "the decision", "observed").await;
    let astray = Scene::with(|config| {
        let table = ("RULEKEEPER_TABLE".to_owned(), "another".to_owned());
        config.lambda.env.extend([table]);
    });
    breaks(&astray.await, "function", "no function of this account").await;
}

#[tokio::test]
async fn what_is_wrong_on_this_side_is_named_too() {
    let scene = Scene::new().await;
    let done = run(&scene, "another");
    assert!(
        said(&done).contains("Broken: the table:"),
        "{}",
        said(&done)
    );
    assert!(is_clean(&scene).await);
    let person = format!("arn:aws:iam::{ACCOUNT}:{OPERATOR}");
    scene
        .rulekeeper(&["principal", "add", &person, "--policy", "accept"])
        .exits(0);
    breaks(&scene, "the caller", "your revokes are listed as meant").await;
    scene.refuse("CreateSecurityGroup", "UnauthorizedOperation", OPERATOR);
    breaks(&scene, "your permissions", "UnauthorizedOperation").await;
}

#[tokio::test]
async fn a_drill_that_is_stopped_cleans_up_and_one_that_cannot_says_what_is_left() {
    let scene = Scene::new().await;
    scene.adjust(|estate| estate.trails[0].logging = false);
    let stopped = drill(&scene, &["--table", TABLE])
        .spawn()
        .expect("Python starts");
    while scene
        .stack
        .cloud()
        .records()
        .iter()
        .all(|it| it["eventName"] != "RevokeSecurityGroupIngress")
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let kill = Command::new("kill").arg(stopped.id().to_string()).status();
    assert!(kill.expect("kill is there").success());
    let done = stopped.wait_with_output().expect("it ends");
    assert!(said(&done).contains("Stopped."), "{}", said(&done));
    assert_eq!(done.status.code(), Some(1));
    assert!(is_clean(&scene).await, "{}", said(&done));
    scene.refuse("DeleteSecurityGroup", "UnauthorizedOperation", OPERATOR);
    let done = run(&scene, TABLE);
    let said = said(&done);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(
        said.contains("Not cleaned up") && said.contains("delete-security-group"),
        "{said}"
    );
}
