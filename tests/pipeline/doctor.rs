//! What the function says of its own role, and what it sends to find out.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{ACCOUNT, Scene};

const WEB: &str = "tcp 443 from 10.0.0.0/8";
const AUTHORIZE: &str = "AuthorizeSecurityGroupIngress";

/// The function's answer to a question.
async fn ask(scene: &Scene, question: Value) -> Value {
    let answer = scene.stack.lambda().invoke(question).await;
    assert_eq!(answer.function_error, None, "{answer:?}");
    answer.payload
}

fn wrong(answer: &Value) -> Vec<String> {
    let checks = answer["doctor"]["checks"]
        .as_array()
        .expect("checks")
        .iter();
    let wrong = checks.filter(|check| check["outcome"] != "ok");
    wrong
        .map(|check| format!("{} {}", check["subject"], check["outcome"]).replace('"', ""))
        .collect()
}

#[tokio::test]
async fn the_function_tries_all_that_it_needs_and_changes_nothing() {
    let scene = Scene::new().await;
    scene.record(&[WEB]).await;
    let member = json!({"account": "444455556666", "region": "eu-central-1"});
    let answer = ask(&scene, json!({"doctor": {"scopes": [member]}})).await;
    let without_role = ["444455556666/eu-central-1 failed"];
    assert_eq!(
        wrong(&answer),
        without_role,
        "no role is named for other accounts"
    );
    assert!(
        answer["doctor"]["time"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z'))
    );
    let checks = answer["doctor"]["checks"].as_array().expect("checks");
    assert_eq!(checks.len(), 13, "{answer:#}");

    let cloud = scene.stack.cloud();
    let mut authorizes = cloud.calls();
    authorizes.retain(|call| call.action == AUTHORIZE);
    let ends: Vec<_> = authorizes
        .iter()
        .filter_map(|call| call.outcome.as_deref())
        .collect();
    assert_eq!(ends, ["DryRunOperation"; 2]);
    assert!(
        authorizes
            .iter()
            .all(|call| call.group.as_deref() == Some(&scene.group))
    );
    scene.settle().await;
    assert_eq!(
        scene.live(),
        [] as [&str; 0],
        "the recorded rule is missing, and stays so"
    );
    for kind in ["desired", "history", "incident", "state"] {
        let items = scene
            .table
            .items(&format!("{kind}#{ACCOUNT}#eu-west-1"))
            .await;
        assert!(
            items
                .iter()
                .all(|item| item["sk"].as_s().is_ok_and(|sk| sk != "doctor")),
            "{items:?}"
        );
    }
    // Its own dry runs come back as events, which ask for nothing.
    assert!(
        scene
            .answers()
            .iter()
            .all(|answer| answer["outcome"].is_null()),
        "{:#?}",
        scene.answers()
    );
}

#[tokio::test]
async fn a_question_that_cannot_be_understood_is_ignored_with_the_reason() {
    let scene = Scene::new().await;
    let answer = ask(
        &scene,
        json!({"doctor": {"scopes": [{"account": "12", "region": "eu-west-1"}]}}),
    )
    .await;
    assert_eq!(answer["outcome"], "ignored");
    let reason = answer["reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("doctor: ") && reason.contains("twelve digits"),
        "{reason}"
    );
}

/// EC2 that keeps what it is sent, and answers every authorize with a status.
struct Wire {
    address: String,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Wire {
    async fn answering(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bodies);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, status, Arc::clone(&kept)));
            }
        });
        Self { address, bodies }
    }

    fn bodies(&self) -> Vec<String> {
        self.bodies.lock().expect("nobody panicked").clone()
    }
}

/// One request after the other, each whole: its head, and the body that the head announces.
async fn serve(mut stream: TcpStream, status: &'static str, kept: Arc<Mutex<Vec<String>>>) {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                kept.lock().expect("nobody panicked").push(body.to_owned());
                let answer = answer(body, status);
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
                read.clear();
            }
        }
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => read.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
}

fn answer(body: &str, status: &str) -> String {
    const DRY_RUN: &str = "<Response><Errors><Error><Code>DryRunOperation</Code><Message>m</Message></Error></Errors></Response>";
    let action = body
        .split('&')
        .find_map(|part| part.strip_prefix("Action="));
    let action = action.unwrap_or_default();
    let (status, body) = match action == AUTHORIZE && status.starts_with("412") {
        true => (status, DRY_RUN.to_owned()),
        false => ("200 OK", format!("<{action}Response></{action}Response>")),
    };
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n{body}")
}

async fn asked_at_the_wire(status: &'static str) -> (Vec<String>, Value) {
    let wire = Wire::answering(status).await;
    let address = wire.address.clone();
    let scene = Scene::with(|config| {
        config
            .lambda
            .env
            .insert("AWS_ENDPOINT_URL_EC2".to_owned(), address);
    })
    .await;
    scene.record(&[WEB]).await;
    let answer = ask(&scene, json!({"doctor": {}})).await;
    (wire.bodies(), answer)
}

#[tokio::test]
async fn every_authorize_goes_over_the_wire_as_a_dry_run() {
    let (bodies, answer) = asked_at_the_wire("412 Precondition Failed").await;
    assert_eq!(wrong(&answer), [] as [&str; 0], "{answer:#}");
    let authorizes: Vec<_> = bodies
        .iter()
        .filter(|body| body.contains(AUTHORIZE))
        .collect();
    assert_eq!(authorizes.len(), 2, "{bodies:#?}");
    for body in &authorizes {
        assert!(body.split('&').any(|part| part == "DryRun=true"), "{body}");
        // Should EC2 overlook it, what comes of it is in the record.
        assert!(body.contains("10.0.0.0%2F8"), "{body}");
    }
    let others = bodies.iter().filter(|body| !body.contains(AUTHORIZE));
    assert!(
        others
            .clone()
            .all(|body| body.starts_with("Action=Describe")),
        "{bodies:#?}"
    );
    assert_eq!(others.count(), 4);
}

#[tokio::test]
async fn a_dry_run_that_is_taken_for_a_call_is_no_proof_of_anything() {
    let (bodies, answer) = asked_at_the_wire("200 OK").await;
    assert!(
        bodies
            .iter()
            .filter(|body| body.contains(AUTHORIZE))
            .all(|body| body.contains("DryRun=true"))
    );
    let wrong = wrong(&answer);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(
        wrong[0].ends_with("failed") && wrong[1].ends_with("skipped"),
        "{wrong:?}"
    );
}
