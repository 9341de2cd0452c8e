//! Ctrl-C, and readers that have had enough.

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Done, Terminal, bare, run};
use rulekeeper_local::{Fault, Stack, StackConfig};

const TABLE: &str = "rulekeeper";
const WEB: &str = "tcp 443 from 10.0.0.0/8";

fn stack() -> Stack {
    Stack::start(StackConfig {
        table: Some(TABLE.to_owned()),
        ..StackConfig::default()
    })
    .expect("loopback ports are to be had")
}

fn command(stack: &Stack, arguments: &[&str]) -> Command {
    let mut command = bare(arguments);
    command
        .envs(stack.client_env())
        .env("RULEKEEPER_TABLE", TABLE);
    command
}

/// A group with a rule.
fn group(stack: &Stack, name: &str) -> String {
    let ec2 = stack.cloud().ec2().quietly();
    let vpc = ec2.default_vpc().expect("a VPC");
    let group = ec2.create_group(name, &vpc).expect("a group");
    ec2.authorize(&group, &[WEB]).expect("a rule");
    group
}

/// Runs a command, and interrupts it once a call of this action was made so many times.
fn interrupted(stack: &Stack, arguments: &[&str], action: &str, times: usize) -> Done {
    stack.cloud().clear_calls();
    let child = command(stack, arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let begun = Instant::now();
    let made = || {
        let calls = stack.cloud().calls();
        calls.iter().filter(|call| call.action == action).count()
    };
    while made() < times {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it calls {action}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.expect("kill is there").success());
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Done {
        code: output.status.code().expect("an exit code"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

#[test]
fn ctrl_c_at_a_question_ends_it_and_nothing_is_written() {
    let stack = stack();
    let group = group(&stack, "web");
    run(command(&stack, &["pin", &group]), "").exits(0);
    stack.cloud().clear_calls();
    let mut terminal = Terminal::start(&command(&stack, &["release", &group, WEB]));
    terminal.asked();
    terminal.interrupt();
    let done = terminal.end().exits(130);
    assert!(
        !done.out.contains("panicked") && !done.out.contains("interrupted"),
        "{done:?}"
    );
    let calls = stack.cloud().calls();
    let writes = calls.iter().filter(|call| call.action.contains("Write"));
    assert_eq!(writes.count(), 0, "{calls:#?}");
}

#[test]
fn ctrl_c_says_what_was_written_and_what_may_have_been() {
    let stack = stack();
    let mut groups = [group(&stack, "one"), group(&stack, "two")];
    // They are written in order.
    groups.sort();
    let [one, two] = groups;
    let silence = |action: &str, of: &str| {
        let fault = Fault::silence(action).always().mentioning(of);
        stack.cloud().inject(fault);
    };
    // A table that does not answer for the second.
    silence("TransactWriteItems", &two);
    let pin = ["pin", &one, &two, "--yes"];
    let done = interrupted(&stack, &pin, "TransactWriteItems", 2).exits(130);
    let record = |group: &str| format!("the record of {group} written");
    assert!(
        done.err
            .contains("warning: interrupted; what is done stays done\n"),
        "{done:?}"
    );
    assert!(
        done.err.contains(&format!("\n  {}\n", record(&one))),
        "{done:?}"
    );
    assert!(
        done.err.contains(&format!("\n  perhaps: {}", record(&two))),
        "{done:?}"
    );

    stack.cloud().set_dials(Default::default());
    run(command(&stack, &pin), "").exits(0);
    for group in [&one, &two] {
        let ec2 = stack.cloud().ec2().quietly();
        ec2.revoke(group, &[WEB]).expect("revoked");
    }
    silence("AuthorizeSecurityGroupIngress", &two);
    let restore = ["restore", &one, &two];
    let action = "AuthorizeSecurityGroupIngress";
    let done = interrupted(&stack, &restore, action, 2).exits(130);
    assert!(
        done.err
            .contains(&format!("\n  rules of {one} authorized\n")),
        "{done:?}"
    );
    let perhaps = format!("\n  perhaps: rules of {two} authorized");
    assert!(done.err.contains(&perhaps), "{done:?}");
    assert_eq!(done.out, "");
}

#[test]
fn ctrl_c_in_a_command_that_only_reads_is_quiet() {
    let stack = stack();
    let group = group(&stack, "web");
    run(command(&stack, &["pin", &group]), "").exits(0);
    let action = "DescribeSecurityGroupRules";
    stack.cloud().inject(Fault::silence(action).always());
    let done = interrupted(&stack, &["plan", &group], action, 1).exits(130);
    assert_eq!((done.out.as_str(), done.err.as_str()), ("", ""));
}

#[test]
fn readers_that_have_had_enough_are_no_failure() {
    let stack = stack();
    let group = group(&stack, "web");
    run(command(&stack, &["pin", &group]), "").exits(0);
    for (arguments, code) in [
        (&["list", "--output", "table"][..], 0),
        (&["doctor", "--pre", "--output", "table"], 0),
        (&["--help"], 0),
        (&["show", "sg-0000dead"], 1),
    ] {
        let mut child = command(&stack, arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        // Nobody reads its errors either.
        drop((child.stdout.take(), child.stderr.take()));
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}
