//! What follows from answers that are not what AWS documents, by a real client and a server that says what it is told.

use std::pin::Pin;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_ec2::config::retry::RetryConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Clients, load_sdk_config};
use rulekeeper_core::decide::changes::GroupState;
use rulekeeper_core::decide::plan::Batch;
use rulekeeper_core::model::{GroupAddress, GroupRange, Scope, Tags};
use rulekeeper_core::ports::{
    ApiError, Budget, Calls, Clouds as _, Lease, Pace, SecurityGroups as _, SweepQueue as _,
    SweepTask, Table as _, Verdict, WatchTable as _,
};

/// The header with the id that AWS gives to each request.
const ID: &str = "x-amzn-requestid: r\r\n";

/// A server whose answer to everything is this status, header and body. Returns its URL.
async fn saying(status: u16, header: &str, body: &str) -> String {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", server.local_addr().expect("an address"));
    let answer = format!(
        "HTTP/1.1 {status} said\r\n{header}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = server.accept().await {
            // All requests here fit into one read, or their rest does not matter.
            let mut request = [0; 65_536];
            let _ = caller.read(&mut request).await;
            let _ = caller.write_all(answer.as_bytes()).await;
        }
    });
    url
}

async fn clients(url: &str) -> Clients {
    let credentials = Credentials::new("AKIDLOCAL", "local", None, None, "test");
    let loader = aws_config::from_env()
        .region("eu-west-1")
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials));
    // What lasts is told after the second time.
    let twice = RetryConfig::standard()
        .with_max_attempts(2)
        .with_initial_backoff(Duration::from_millis(1));
    let config = load_sdk_config(loader, None).await.into_builder();
    let config = config.retry_config(twice).build();
    let clients = Clients::new(config, "t".to_owned(), None);
    clients.with_queue(Some(format!("{url}/queue")), Some("results".to_owned()))
}

fn group() -> GroupAddress {
    GroupAddress {
        scope: Scope {
            account: "111122223333".parse().expect("an account"),
            region: "eu-west-1".parse().expect("a Region"),
        },
        id: "sg-0123456789abcdef0".parse().expect("a group"),
    }
}

fn budget() -> Budget {
    Budget::of(Duration::from_secs(20))
}

fn ended<'c, T>(
    call: impl Future<Output = Result<T, ApiError>> + 'c,
) -> Pin<Box<dyn Future<Output = Result<(), ApiError>> + 'c>> {
    Box::pin(async { call.await.map(drop) })
}

/// What each call makes of a server that answers everything with this status, header and body; or `only` this call.
async fn ends(
    status: u16,
    header: &str,
    body: &str,
    only: Option<&str>,
) -> Vec<(&'static str, Result<(), ApiError>)> {
    let clients = clients(&saying(status, header, body).await).await;
    let (group, calls) = (group(), Calls::default());
    let (ec2, table) = clients
        .in_scope(&group.scope, false, Pace::Free, &calls, budget())
        .await;
    let queue = clients.sweep_queue(&calls, budget()).expect("a queue");
    let batch = Batch {
        rules: vec![],
        tags: Tags::new(),
    };
    let task = SweepTask {
        scope: group.scope.clone(),
        range: GroupRange::default(),
        attempt: 1,
        delay: Duration::ZERO,
    };
    let list = "pl-0123456789abcdef0".parse().expect("a list");
    let (groups, lists, tasks) = ([group.id.clone()].into(), [list].into(), [task]);
    let (range, state, answer) = (
        GroupRange::default(),
        GroupState::default(),
        serde_json::json!({}),
    );
    let (only_group, lease) = (std::slice::from_ref(&group.id), Lease::default());
    let calls = [
        ("rules", ended(ec2.rules_of(&group.id))),
        ("look", ended(ec2.described_rules(only_group))),
        ("authorize", ended(ec2.authorize_ingress(&group.id, &batch))),
        ("groups", ended(ec2.existing_groups(&groups))),
        ("lists", ended(ec2.prefix_lists(&lists))),
        ("entries", ended(ec2.prefix_list_entries(&lists))),
        ("VPC", ended(ec2.default_vpc_group("web"))),
        ("items", ended(table.load(&group))),
        ("page", ended(table.desired_page(&group.scope, &range))),
        ("marks", ended(table.marks(&group.scope, &range))),
        ("history", ended(table.latest_in_history("h".to_owned()))),
        ("state", ended(table.save_state(&group, &state))),
        ("watched", ended(table.watched(&group.scope))),
        ("lease", ended(table.lease())),
        ("lease state", ended(table.write_lease(&lease))),
        ("waiting", ended(queue.waiting())),
        ("send", ended(queue.send(&tasks))),
        (
            "tell",
            ended(clients.tell("Sweep Result", "id", &answer, budget())),
        ),
    ];
    let mut ends = Vec::new();
    for (call, ended) in calls {
        if only.is_none_or(|only| only == call) {
            ends.push((call, ended.await));
        }
    }
    ends
}

/// A whole answer of EC2 that lacks everything it is for.
fn ec2(answer: &str, content: &str) -> String {
    format!("<{answer}Response><requestId>r</requestId>{content}</{answer}Response>")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_read_is_a_passing_fault_of_every_call() {
    for (status, body) in [
        (200, "<html>down for maintenance</html>"),
        (200, ""),
        (400, "<html>bad gateway</html>"),
        (403, ""),
        (429, ""),
        (429, "slow down"),
        // Something between AWS and us says that it worked.
        (200, "{}"),
        (200, r#"{"__type": "InternalServerError"}"#),
    ] {
        for (call, end) in ends(status, "", body, None).await {
            let error = end.expect_err(call);
            assert!(error.is_retryable(), "{status} {body:?} {call}: {error}");
            let throttled = error.verdict() == Verdict::Throttled;
            assert_eq!(
                throttled,
                status == 429,
                "{status} {body:?} {call}: {error}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_what_was_asked_for_is_a_passing_fault_and_not_an_empty_one() {
    for (call, end) in ends(200, ID, "{}", None).await {
        // DynamoDB answers nothing more to this write.
        if call.ends_with("state") {
            assert_eq!(end, Ok(()));
            continue;
        }
        let error = end.expect_err(call);
        assert!(error.is_retryable(), "{call}: {error}");
    }
    let rule = "<item><securityGroupRuleId>sgr-0123456789abcdef0</securityGroupRuleId>\
                <ipProtocol>-1</ipProtocol><cidrIpv4>10.0.0.0/8</cidrIpv4>";
    let cases = [
        ("rules", ec2("DescribeSecurityGroupRules", "")),
        (
            "rules",
            ec2(
                "DescribeSecurityGroupRules",
                &format!(
                    "<securityGroupRuleSet>{rule}<isEgress>false</isEgress></item></securityGroupRuleSet>"
                ),
            ),
        ),
        (
            "rules",
            ec2(
                "DescribeSecurityGroupRules",
                &format!(
                    "<securityGroupRuleSet>{rule}<groupId>sg-0123456789abcdef0</groupId></item></securityGroupRuleSet>"
                ),
            ),
        ),
        // Cut off between two rules.
        (
            "rules",
            format!(
                "<DescribeSecurityGroupRulesResponse><securityGroupRuleSet>{rule}<groupId>sg-0123456789abcdef0</groupId><isEgress>false</isEgress></item>"
            ),
        ),
        (
            "rules",
            ec2(
                "DescribeSecurityGroupRules",
                &format!(
                    "<securityGroupRuleSet>{rule}<isEgress>false</isEgress><groupId/></item></securityGroupRuleSet>"
                ),
            ),
        ),
        // Of a group that was not asked for.
        (
            "rules",
            ec2(
                "DescribeSecurityGroupRules",
                &format!(
                    "<securityGroupRuleSet>{rule}<isEgress>false</isEgress><groupId>sg-0a</groupId></item></securityGroupRuleSet>"
                ),
            ),
        ),
        ("groups", ec2("DescribeSecurityGroups", "")),
        (
            "groups",
            ec2(
                "DescribeSecurityGroups",
                "<securityGroupInfo><item><groupName>web</groupName></item></securityGroupInfo>",
            ),
        ),
        ("lists", ec2("DescribeManagedPrefixLists", "")),
        (
            "lists",
            ec2(
                "DescribeManagedPrefixLists",
                "<prefixListSet><item><maxEntries>5</maxEntries></item></prefixListSet>",
            ),
        ),
        ("entries", ec2("GetManagedPrefixListEntries", "")),
        (
            "entries",
            ec2(
                "GetManagedPrefixListEntries",
                "<entrySet><item/></entrySet>",
            ),
        ),
        ("VPC", ec2("DescribeVpcs", "")),
        ("authorize", ec2("AuthorizeSecurityGroupIngress", "")),
        (
            "authorize",
            ec2("AuthorizeSecurityGroupIngress", "<return>false</return>"),
        ),
        ("items", r#"{"Responses": {}}"#.to_owned()),
        (
            "items",
            r#"{"UnprocessedKeys": {"t": {"Keys": []}}}"#.to_owned(),
        ),
        (
            "items",
            r#"{"Responses": {"t": [{"sk": {"S": "settings"}}]}}"#.to_owned(),
        ),
        (
            "items",
            r#"{"Responses": {"t": []}, "UnprocessedKeys": {"t": {"Keys": [{"pk": {"S": "p"}}]}}}"#
                .to_owned(),
        ),
        (
            "items",
            r#"{"Responses": {"t": []}, "UnprocessedKeys": {"u": {"Keys": []}}}"#.to_owned(),
        ),
        ("marks", r#"{"Items": [{"pk": {"S": "p"}}]}"#.to_owned()),
        ("page", r#"{"Items": [{"pk": {"S": "p"}}]}"#.to_owned()),
        (
            "page",
            r#"{"Items": [], "LastEvaluatedKey": {"pk": {"S": "p"}}}"#.to_owned(),
        ),
        ("waiting", r#"{"Attributes": {}}"#.to_owned()),
        ("send", r#"{"Successful": [], "Failed": []}"#.to_owned()),
        (
            "tell",
            r#"{"FailedEntryCount": 0, "Entries": [{}]}"#.to_owned(),
        ),
    ];
    for (asked, body) in cases {
        for (call, end) in ends(200, ID, &body, Some(asked)).await {
            let error = end.expect_err(&body);
            assert!(error.is_retryable(), "{call} {body}: {error}");
            assert_eq!(error.code(), "UnusableAnswer", "{call} {body}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_that_is_whole_is_an_answer() {
    let cases = [
        (
            "rules",
            ec2("DescribeSecurityGroupRules", "<securityGroupRuleSet/>"),
        ),
        (
            "groups",
            ec2("DescribeSecurityGroups", "<securityGroupInfo/>"),
        ),
        (
            "lists",
            ec2("DescribeManagedPrefixLists", "<prefixListSet/>"),
        ),
        ("entries", ec2("GetManagedPrefixListEntries", "<entrySet/>")),
        (
            "authorize",
            ec2("AuthorizeSecurityGroupIngress", "<return>true</return>"),
        ),
        ("items", r#"{"Responses": {"t": []}}"#.to_owned()),
        ("page", r#"{"Items": []}"#.to_owned()),
    ];
    for (asked, body) in cases {
        let end = ends(200, ID, &body, Some(asked)).await;
        assert_eq!(end, [(asked, Ok(()))], "{body}");
    }
}
