//! The process itself: start, log, payloads that are not JSON.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::support::Scene;

const FUNCTION: &str = env!("CARGO_BIN_EXE_rulekeeper-function");

fn run(environment: &[(&str, &str)]) -> Output {
    Command::new(FUNCTION)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("the function starts")
}

#[test]
fn a_missing_or_wrong_variable_ends_the_start_with_its_name() {
    let cases: [(&[(&str, &str)], &str); 3] = [
        (&[], "RULEKEEPER_TABLE is not set"),
        (
            &[("RULEKEEPER_TABLE", "t"), ("RULEKEEPER_MODE", "watch")],
            "RULEKEEPER_MODE is \"watch\"",
        ),
        (
            &[("RULEKEEPER_TABLE", "t")],
            "AWS_LAMBDA_RUNTIME_API is not set",
        ),
    ];
    for (environment, expected) in cases {
        let output = run(environment);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(expected),
            "{said}"
        );
    }
}

#[tokio::test]
async fn the_log_is_json_lines_with_report_and_metrics_and_nothing_secret() {
    let scene = Scene::new().await;
    scene.keep(&["tcp 443 from 10.0.0.0/8"]).await;
    scene.revoke(&["tcp 443 from 10.0.0.0/8"]).await;
    let lines: Vec<String> = scene
        .stack
        .lambda()
        .logs()
        .into_iter()
        .map(|line| line.text)
        .collect();
    let parsed: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let report = parsed
        .iter()
        .find(|line| line["report"]["trigger"]["event_name"] == "RevokeSecurityGroupIngress")
        .expect("the report is logged");
    assert_eq!(report["message"], "report");
    assert_eq!(report["report"]["outcome"], "restored");
    // The event of our own authorize has metrics too, and may be handled sooner.
    let metrics: Vec<&Value> = parsed
        .iter()
        .filter(|line| line.get("_aws").is_some())
        .skip_while(|line| line["RulesDropped"] == 0)
        .collect();
    assert_eq!(
        metrics[0]["_aws"]["CloudWatchMetrics"][0]["Namespace"],
        "rulekeeper"
    );
    assert_eq!(
        (&metrics[0]["RulesDropped"], &metrics[0]["RulesRestored"]),
        (&1.into(), &1.into())
    );
    assert!(metrics[1]["DriftOpenMs"].is_u64(), "{:#?}", metrics[1]);
    let all = lines.join("\n");
    for secret in [
        "accessKeyId",
        "AWS_SECRET",
        "sessionContext",
        "requestParameters",
    ] {
        assert!(!all.contains(secret), "{secret} is in the log");
    }
}

/// A Runtime API of the smallest kind hands over what is not JSON, or JSON that no parser takes; Lambda itself would not.
#[test]
fn payloads_that_are_not_json_are_ignored_and_not_an_error() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    let payloads: [&[u8]; 6] = [
        b"this is {not JSON",
        b"",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":1e999}",
        deep.as_bytes(),
    ];
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let mut function = Command::new(FUNCTION)
        .env_clear()
        .envs([
            ("RULEKEEPER_TABLE", "t"),
            ("AWS_LAMBDA_RUNTIME_API", &address),
            ("AWS_LAMBDA_FUNCTION_NAME", "f"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "s"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "g"),
            ("AWS_REGION", "eu-west-1"),
        ])
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the function starts");
    let (mut handed, mut answers) = (0, Vec::new());
    'connections: for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("settable");
        while let Some(request) = read_request(&mut stream) {
            if request.contains("/invocation/next") {
                let Some(body) = payloads.get(handed) else {
                    break 'connections;
                };
                hand_over(&mut stream, handed, body);
                handed += 1;
            } else {
                answers.push(request);
                stream
                    .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
                    .expect("the function listens");
            }
        }
    }
    function.kill().expect("it runs");
    function.wait().expect("it ends");
    assert_eq!(answers.len(), payloads.len());
    for (number, answer) in answers.iter().enumerate() {
        let path = format!("POST /2018-06-01/runtime/invocation/{number}/response");
        assert!(answer.starts_with(&path), "{answer}");
        assert!(answer.contains(r#""outcome":"ignored""#), "{answer}");
    }
}

fn hand_over(stream: &mut impl Write, request_id: usize, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {request_id}\r\n\
         Lambda-Runtime-Deadline-Ms: 4102444800000\r\n\
         Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:111122223333:function:f\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let whole = [head.as_bytes(), body].concat();
    stream.write_all(&whole).expect("the function listens");
}

/// One request, head and body, as text; `None` when the connection ends.
fn read_request(stream: &mut impl Read) -> Option<String> {
    let (mut bytes, mut one) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text.into_owned());
            }
        }
        match stream.read(&mut one) {
            Ok(read) if read > 0 => bytes.extend_from_slice(&one[..read]),
            _ => return None,
        }
    }
}
