//! What every verb says of credentials, endpoints, permissions and tables that are not as they should be: the same.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Done, Terminal, bare, run, scratch};
use rulekeeper_local::{Fault, Stack, StackConfig};

const TABLE: &str = "rulekeeper";
const GROUP: &str = "sg-0123456789abcdef0";

/// How long an endpoint that nobody answers at may take, and what a busy machine adds.
const PROMISED: Duration = Duration::from_secs(3);
const BUSY: Duration = Duration::from_secs(1);

/// Every verb that calls AWS, but the doctor, whose findings say it.
fn verbs() -> Vec<Vec<&'static str>> {
    let record = scratch("errors").join("record.yaml");
    let text = format!(
        "account: \"111122223333\"\nregion: us-east-1\ngroup: {GROUP}\nrules:\n  - {{protocol: tcp, from_port: 443, to_port: \
         443, cidr_ipv4: 10.0.0.0/8}}\n"
    );
    fs::write(&record, text).expect("a file");
    let record: &str = record.to_str().expect("UTF-8").to_owned().leak();
    vec![
        vec!["pin", GROUP],
        vec!["pin", "--all", "--dry-run"],
        vec!["apply", "-f", record],
        vec!["show", GROUP],
        vec!["export", GROUP],
        vec!["list"],
        vec!["plan", GROUP],
        vec!["plan"],
        vec!["check"],
        vec!["confirm", GROUP, "--yes"],
        vec!["restore", GROUP],
        vec!["restore"],
        vec!["pause", GROUP, "--for", "1h", "--reason", "x", "--yes"],
        vec!["resume", GROUP, "--yes"],
        vec!["release", GROUP, "tcp 443 from 10.0.0.0/8", "--yes"],
        vec!["unpin", GROUP, "--yes"],
        vec!["history", GROUP],
        vec!["history", "--settings"],
        vec!["rollback", GROUP, "--to", "1", "--yes"],
        vec!["incidents"],
        vec!["principal", "list"],
        vec![
            "principal",
            "add",
            "arn:aws:iam::111122223333:user/x",
            "--policy",
            "accept",
            "--yes",
        ],
        vec!["principal", "remove", "*x", "--yes"],
        vec!["principal", "reset", "--yes"],
        vec!["replay", "../events/revoke-by-permission.json"],
        vec!["replay", "../events/revoke-by-permission.json", "--execute"],
    ]
}

fn stack(table: bool) -> Stack {
    Stack::start(StackConfig {
        table: table.then(|| TABLE.to_owned()),
        ..StackConfig::default()
    })
    .expect("loopback ports are to be had")
}

fn on(stack: &Stack, arguments: &[&str]) -> Done {
    let mut command = bare(arguments);
    command
        .envs(stack.client_env())
        .env("RULEKEEPER_TABLE", TABLE);
    run(command, "")
}

/// Keys and a Region in the environment, and no endpoint.
fn with_keys(arguments: &[&str]) -> Command {
    let mut command = bare(arguments);
    command
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "us-east-1")
        .env("RULEKEEPER_TABLE", TABLE);
    command
}

/// The error and its hint stand at the end, each once, without the SDK's own words.
fn says(verb: &[&str], done: &Done, error: &str, hint: &str) {
    let said = &done.err;
    let (_, last) = said.rsplit_once("error: ").unwrap_or_default();
    assert!(last.contains(error), "{verb:?}: {error}: {done:?}");
    let advice = last.split_once("\n\nhint: ").unwrap_or_default().1;
    assert!(advice.contains(hint), "{verb:?}: {hint}: {done:?}");
    for dump in [
        "Request {",
        "SdkBody",
        "dispatch failure",
        "Attempted:",
        "\u{1b}",
    ] {
        assert!(!said.contains(dump), "{verb:?}: {dump}: {done:?}");
    }
}

#[test]
fn refused_credentials_and_permissions_are_told_alike_by_every_verb() {
    let renew = "Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY";
    let cases = [
        (
            "ExpiredToken",
            "the credentials have expired, those of AWS_ACCESS_KEY_ID in the environment",
            renew,
        ),
        (
            "InvalidClientTokenId",
            "AWS does not accept the access key of AWS_ACCESS_KEY_ID",
            renew,
        ),
        (
            "UnrecognizedClientException",
            "AWS does not accept the access key",
            renew,
        ),
        ("AuthFailure", "AWS does not accept the access key", renew),
        (
            "SignatureDoesNotMatch",
            "the secret access key does not belong to the access key",
            renew,
        ),
        ("RequestExpired", "this machine's clock", "Set the clock"),
        (
            "AccessDeniedException",
            " may not ",
            "docs/operate.md, \"Permissions of operators\"",
        ),
    ];
    for (code, error, hint) in cases {
        let stack = stack(true);
        stack.cloud().inject(Fault::error("*", code, 403).always());
        for verb in verbs() {
            let done = on(&stack, &verb).exits(1);
            says(&verb, &done, error, hint);
        }
    }
}

#[test]
fn a_permission_that_lacks_is_named_with_who_lacks_it() {
    let stack = stack(true);
    let vpc = stack.cloud().ec2().quietly().default_vpc().expect("a VPC");
    let group = stack.cloud().ec2().quietly().create_group("web", &vpc);
    let group = group.expect("a group");
    stack
        .cloud()
        .ec2()
        .quietly()
        .authorize(&group, &["tcp 443 from 10.0.0.0/8"])
        .expect("a rule");
    on(&stack, &["pin", &group]).exits(0);
    for action in ["DescribeSecurityGroupRules", "DescribeSecurityGroups"] {
        stack
            .cloud()
            .inject(Fault::error(action, "UnauthorizedOperation", 403).always());
    }
    for verb in [
        &["plan", &group][..],
        &["restore", &group],
        &["plan"],
        &["restore"],
        &["pin", &group],
    ] {
        let done = on(&stack, verb);
        assert!(done.code != 0, "{done:?}");
        let error = "arn:aws:iam::111122223333:user/local may not ec2:Describe";
        says(verb, &done, error, "Ask for ec2:Describe");
    }
    // The list is whole without EC2, and the hint is there all the same.
    let listed = on(&stack, &["list"]).exits(0);
    let said = "\nhint: arn:aws:iam::111122223333:user/local may not ec2:DescribeSecurityGroups";
    assert!(listed.err.contains(said), "{listed:?}");
}

#[test]
fn a_table_that_is_not_there_is_named_with_its_region() {
    let stack = stack(false);
    let ec2 = stack.cloud().ec2().quietly();
    let vpc = ec2.default_vpc().expect("a VPC");
    // `pin` looks at the group first.
    let group = ec2.create_group("web", &vpc).expect("a group");
    for verb in verbs() {
        let named = verb.iter().map(|word| match *word {
            GROUP => group.as_str(),
            word => word,
        });
        let verb: Vec<&str> = named.collect();
        let done = on(&stack, &verb);
        assert!(done.code != 0, "{verb:?}: {done:?}");
        let error = "there is no table \"rulekeeper\" in us-east-1";
        says(
            &verb,
            &done,
            error,
            "aws dynamodb list-tables --region us-east-1",
        );
    }
}

#[test]
fn an_endpoint_that_nobody_answers_at_is_named_within_three_seconds() {
    for verb in verbs() {
        let mut command = with_keys(&verb);
        command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
        let begun = Instant::now();
        let done = run(command, "").exits(1);
        let error =
            "in us-east-1 cannot be reached at http://127.0.0.1:9: the connection is refused";
        says(
            &verb,
            &done,
            error,
            "Check --endpoint-url and AWS_ENDPOINT_URL",
        );
        assert!(
            begun.elapsed() < PROMISED + BUSY,
            "{verb:?}: {:?}",
            begun.elapsed()
        );
    }
}

/// A listener whose queue is full, so that connecting to it waits: what a network that drops packets looks like.
const SILENT: &str = "
import socket, sys
silent = socket.socket()
silent.bind(('127.0.0.1', 0))
silent.listen(0)
waiting = []
for _ in range(4):
    waiting.append(socket.socket())
    waiting[-1].setblocking(False)
    waiting[-1].connect_ex(silent.getsockname())
print(silent.getsockname()[1], flush=True)
sys.stdin.read()
";

#[test]
fn an_address_that_swallows_packets_and_one_that_does_not_exist_are_named_too() {
    let moto = std::env::var_os("RULEKEEPER_MOTO").expect("`make test` sets it");
    let mut silent = Command::new(Path::new(&moto).with_file_name("python"))
        .args(["-c", SILENT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut port = String::new();
    let out = silent.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut port).expect("a port");
    let swallowing = format!("http://127.0.0.1:{}", port.trim());
    for (url, why) in [
        (swallowing.as_str(), "it does not answer"),
        ("http://no.invalid", "there is no such host"),
    ] {
        for verb in [&["list"][..], &["restore"], &["principal", "list"]] {
            let mut command = with_keys(verb);
            command.env("AWS_ENDPOINT_URL", url);
            let begun = Instant::now();
            let done = run(command, "").exits(1);
            says(
                verb,
                &done,
                &format!("cannot be reached at {url}: {why}"),
                "Check --endpoint-url",
            );
            assert!(
                begun.elapsed() < PROMISED + BUSY,
                "{verb:?}: {:?}",
                begun.elapsed()
            );
        }
    }
    drop(silent.stdin.take());
    silent.wait().expect("it ends");
}

#[test]
fn one_service_that_is_out_of_reach_is_named_by_its_own_endpoint() {
    let stack = stack(true);
    for (variable, service, verb) in [
        ("AWS_ENDPOINT_URL_DYNAMODB", "DynamoDB", &["list"][..]),
        ("AWS_ENDPOINT_URL_EC2", "EC2", &["pin", GROUP]),
        ("AWS_ENDPOINT_URL_STS", "STS", &["plan"]),
    ] {
        let mut command = bare(verb);
        command
            .envs(stack.client_env())
            .env("RULEKEEPER_TABLE", TABLE)
            .env(variable, "http://127.0.0.1:9");
        let done = run(command, "").exits(1);
        says(
            verb,
            &done,
            &format!("{service} in us-east-1 cannot be reached at http://127.0.0.1:9"),
            "Check",
        );
    }
}

#[test]
fn an_endpoint_that_is_no_url_is_named_before_any_call() {
    for verb in verbs() {
        let done = run(
            with_keys(&[&verb[..], &["--endpoint-url", "127.0.0.1"]].concat()),
            "",
        )
        .exits(2);
        says(
            &verb,
            &done,
            "--endpoint-url is \"127.0.0.1\", which is no endpoint",
            "Give a URL",
        );
        let mut command = with_keys(&verb);
        command.env("AWS_ENDPOINT_URL", "ftp://x");
        let done = run(command, "").exits(2);
        says(
            &verb,
            &done,
            "AWS_ENDPOINT_URL is \"ftp://x\", which is no endpoint: ftp is neither",
            "Give a URL",
        );
    }
}

/// A profile of each kind.
const CONFIG: &str = "
[profile corp]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = admin
region = us-east-1
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = us-east-1
[profile via]
source_profile = corp
role_arn = arn:aws:iam::111122223333:role/x
region = us-east-1
";

#[test]
fn profiles_that_are_missing_or_not_logged_in_are_told_alike_by_every_verb() {
    let config = scratch("errors").join("config");
    fs::write(&config, CONFIG).expect("a file");
    let with = |verb: &[&str], extra: &[(&str, &str)]| {
        let mut command = bare(verb);
        command
            .env("RULEKEEPER_TABLE", TABLE)
            .env("AWS_CONFIG_FILE", &config)
            .envs(extra.iter().copied());
        run(command, "")
    };
    for verb in verbs() {
        let missing = "there is no profile \"nope\" (--profile); there are: corp, via";
        let hint = "aws configure --profile nope";
        let done = with(&[&verb[..], &["--profile", "nope"]].concat(), &[]).exits(2);
        says(&verb, &done, missing, hint);
        let done = with(
            &verb,
            &[("AWS_PROFILE", "nope"), ("AWS_REGION", "us-east-1")],
        )
        .exits(2);
        says(
            &verb,
            &done,
            "there is no profile \"nope\" (AWS_PROFILE)",
            hint,
        );
        let done = with(&verb, &[("AWS_PROFILE", "via")]).exits(1);
        says(
            &verb,
            &done,
            "there is no valid login of the profile \"corp\"",
            "`aws sso login --profile corp`",
        );
        let done = with(&verb, &[("AWS_REGION", "us-east-1")]).exits(1);
        let names = "Name a profile with --profile or AWS_PROFILE (there are: corp, via)";
        says(&verb, &done, "there are no AWS credentials to use", names);
        let done = with(
            &verb,
            &[("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "x")],
        )
        .exits(1);
        says(
            &verb,
            &done,
            "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set",
            "Name a profile",
        );
    }
}

#[test]
fn the_doctor_makes_one_finding_of_credentials_that_nobody_takes_and_of_a_dead_endpoint() {
    let stack = stack(true);
    stack
        .cloud()
        .inject(Fault::error("*", "ExpiredToken", 403).always());
    let dead = {
        let mut command = with_keys(&["doctor"]);
        command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
        run(command, "")
    };
    for (done, said) in [
        (on(&stack, &["doctor"]), "the credentials have expired"),
        (dead, "cannot be reached at http://127.0.0.1:9"),
    ] {
        let checks = done.exits(1).items();
        let failed: Vec<_> = checks
            .iter()
            .filter(|it| it["outcome"] == "failed")
            .collect();
        assert_eq!(failed.len(), 1, "{checks:#?}");
        assert_eq!(failed[0]["section"], "You");
        assert!(
            failed[0]["found"]
                .as_str()
                .is_some_and(|it| it.contains(said)),
            "{failed:#?}"
        );
    }
}

#[test]
fn colour_is_for_terminals_and_can_be_turned_off() {
    let piped = run(with_keys(&["list", "--endpoint-url", "x"]), "").exits(2);
    assert!(piped.err.starts_with("error: "), "{piped:?}");
    let shown = |variables: &[(&str, &str)]| {
        let mut command = with_keys(&["list", "--endpoint-url", "x"]);
        command.envs(variables.iter().copied());
        Terminal::start(&command).end().out
    };
    let term = ("TERM", "xterm");
    assert!(
        shown(&[term]).contains("\u{1b}[1m\u{1b}[31merror:"),
        "{:?}",
        shown(&[term])
    );
    assert!(!shown(&[term, ("NO_COLOR", "1")]).contains('\u{1b}'));
    assert!(!shown(&[("TERM", "dumb")]).contains('\u{1b}'));
    let stack = stack(true);
    let doctor = |extra: &[&str]| {
        let mut command = bare(&[&["doctor", "--pre"], extra].concat());
        command.envs(stack.client_env()).env("CLICOLOR_FORCE", "1");
        run(command, "").out
    };
    assert!(doctor(&["--output", "table"]).contains("\u{1b}[32mok\u{1b}[0m credentials"));
    assert!(!doctor(&[]).contains('\u{1b}'), "never in JSON");
}
