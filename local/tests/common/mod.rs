//! A raw HTTP client and a function, so that the tests share no code with the stack.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rulekeeper_local::{LambdaConfig, Stack, StackConfig};
use serde_json::Value;

/// An answer off the wire.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// The texts of all elements with a name, in order.
    pub(crate) fn all(&self, tag: &str) -> Vec<String> {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let parts = self.body.split(&open).skip(1);
        parts
            .filter_map(|part| part.split_once(&close).map(|(text, _)| text.to_owned()))
            .collect()
    }

    /// The text of the first element with a name, or nothing.
    pub(crate) fn text(&self, tag: &str) -> String {
        self.all(tag).into_iter().next().unwrap_or_default()
    }

    /// The error code of an XML answer.
    pub(crate) fn code(&self) -> String {
        self.text("Code")
    }

    /// Fails unless the answer is a refusal with this status and, somewhere, this text.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, text: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(self.body.contains(text), "{}", self.body);
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let line = self
            .head
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    }
}

/// One request over a connection of its own.
pub(crate) fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Reply> {
    let address = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or(std::io::ErrorKind::InvalidData)?;
    Ok(Reply {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// A client with credentials.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) endpoint: String,
    pub(crate) key: String,
    pub(crate) region: String,
}

impl Client {
    pub(crate) fn of(stack: &Stack) -> Self {
        Self {
            endpoint: stack.endpoint(),
            key: "AKIATEST".into(),
            region: "us-east-1".into(),
        }
    }

    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self {
            key: key.into(),
            ..self.clone()
        }
    }

    /// Any request that is answered.
    pub(crate) fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        send(&self.endpoint, method, path, headers, body).expect("an answer")
    }

    pub(crate) fn authorization(&self, service: &str) -> String {
        let scope = format!(
            "{}/20260101/{}/{service}/aws4_request",
            self.key, self.region
        );
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=0")
    }

    /// An EC2 call. Only `+` and spaces in the parameters are encoded.
    pub(crate) fn try_ec2(&self, action: &str, params: &str) -> std::io::Result<Reply> {
        let body = format!(
            "Action={action}&Version=2016-11-15&{}",
            params.replace('+', "%2B").replace(' ', "+")
        );
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Authorization", &self.authorization("ec2")),
            ("User-Agent", "test-client/1.0"),
        ];
        send(&self.endpoint, "POST", "/", &headers, &body)
    }

    pub(crate) fn ec2(&self, action: &str, params: &str) -> Reply {
        self.try_ec2(action, params).expect("an answer")
    }

    pub(crate) fn sts(&self, action: &str, params: &str) -> Reply {
        let body = format!("Action={action}&Version=2011-06-15&{params}");
        self.http(
            "POST",
            "/",
            &[("Authorization", &self.authorization("sts"))],
            &body,
        )
    }

    pub(crate) fn try_dynamodb(&self, action: &str, body: &Value) -> std::io::Result<Reply> {
        let headers = [
            ("Content-Type", "application/x-amz-json-1.0"),
            ("X-Amz-Target", &format!("DynamoDB_20120810.{action}")),
            ("X-Amz-Date", "20260101T000000Z"),
            ("Authorization", &self.authorization("dynamodb")),
        ];
        send(&self.endpoint, "POST", "/", &headers, &body.to_string())
    }

    pub(crate) fn dynamodb(&self, action: &str, body: &Value) -> Reply {
        self.try_dynamodb(action, body).expect("an answer")
    }

    /// A call of a service that speaks JSON, such as `AmazonSQS`.
    pub(crate) fn json(&self, api: &str, action: &str, body: &Value) -> Reply {
        let headers = [
            ("Content-Type", "application/x-amz-json-1.0"),
            ("X-Amz-Target", &format!("{api}.{action}")),
            ("Authorization", &self.authorization("test")),
        ];
        self.http("POST", "/", &headers, &body.to_string())
    }

    pub(crate) fn admin(&self, method: &str, path: &str, body: &str) -> Reply {
        self.http(method, &format!("/_local/{path}"), &[], body)
    }
}

/// A stack without a function, a client, and a group in a VPC that is not the default one.
pub(crate) fn cloud_with_group() -> (Stack, Client, String) {
    let stack = Stack::start(StackConfig::default()).expect("the stack starts");
    let ec2 = stack.cloud().ec2().quietly();
    let vpc = ec2.create_vpc("10.0.0.0/16").expect("a VPC");
    let group = ec2.create_group("web", &vpc).expect("a group");
    let client = Client::of(&stack);
    (stack, client, group)
}

/// A stack with the table `records` and this test program as its function, and a client.
pub(crate) fn with_table() -> (Stack, Client) {
    let config = StackConfig {
        table: Some("records".into()),
        lambda: function(),
        ..StackConfig::default()
    };
    let stack = Stack::start(config).expect("the stack starts");
    let client = Client::of(&stack);
    (stack, client)
}

/// This very test program as the function: it runs only the test of that name, which calls [`act_as_function`].
pub(crate) fn function() -> LambdaConfig {
    let mut config = LambdaConfig::program(std::env::current_exe().expect("our own path"));
    config.args = ["--exact", "function_body", "--nocapture"]
        .map(str::to_owned)
        .into();
    config
}

/// Serves invocations for as long as Lambda gives any; does nothing when run as a plain test.
///
/// The event says what to do: `{"do": "error"}`, `"exit"`, `{"do": "sleep", "ms": n}`, `"context"`; of messages those that
/// say `fail` fail; anything else is echoed.
pub(crate) fn act_as_function() {
    let Ok(api) = std::env::var("AWS_LAMBDA_RUNTIME_API") else {
        return;
    };
    if let Ok(code) = std::env::var("FAIL_INIT") {
        let error = r#"{"errorType":"Init.Failed","errorMessage":"as asked"}"#;
        send(&api, "POST", "/2018-06-01/runtime/init/error", &[], error).expect("accepted");
        std::process::exit(code.parse().expect("an exit code"));
    }
    serve_invocations(&api, usize::MAX);
}

/// The loop of a custom runtime.
pub(crate) fn serve_invocations(api: &str, most: usize) {
    for _ in 0..most {
        let Ok(next) = send(api, "GET", "/2018-06-01/runtime/invocation/next", &[], "") else {
            return;
        };
        let Some(id) = next.header("lambda-runtime-aws-request-id") else {
            return;
        };
        let event = next.json();
        let mut end = "response";
        let mut answer = serde_json::json!({ "echo": event });
        if let Some(records) = event["Records"].as_array() {
            let failed = records.iter().filter(|record| record["body"] == "fail");
            let failed: Vec<Value> = failed
                .map(|record| serde_json::json!({ "itemIdentifier": record["messageId"] }))
                .collect();
            answer = serde_json::json!({ "batchItemFailures": failed });
        }
        eprintln!("{}", serde_json::json!({ "level": "INFO", "request": id }));
        match event["do"].as_str() {
            Some("exit") => std::process::exit(7),
            Some("sleep") => std::thread::sleep(Duration::from_millis(
                event["ms"].as_u64().unwrap_or_default(),
            )),
            Some("error") => {
                end = "error";
                answer = serde_json::json!({ "errorType": "Asked", "errorMessage": "as asked" });
            }
            Some("context") => {
                answer = serde_json::json!({
                    "head": next.head, "env": std::env::vars().collect::<std::collections::BTreeMap<_, _>>(),
                });
            }
            _ => {}
        }
        let path = format!("/2018-06-01/runtime/invocation/{id}/{end}");
        if send(api, "POST", &path, &[], &answer.to_string()).is_err() {
            return;
        }
    }
}
