//! What is said about a command line that cannot be followed; nothing here reaches a cloud.

mod common;

use common::{bare, follow, run, scratch};
use serde_json::Value;

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["pin"],
        &["pin", "sg-1"],
        &["pin", "sg-0000000a", "--mode", "watch"],
        &["apply"],
        &["plan", "--output", "xml"],
        &["list", "--rules-per-group", "0"],
        &["list", "--account", "1"],
        &["apply", "-f", "record.yaml", "--prune"],
        &["export"],
        &["export", "--all"],
        &["export", "sg-0000000a", "--force"],
        &["export", "sg-0000000a", "--output-dir", "records"],
        &["pause", "sg-0000000a", "--for", "2h"],
        &["pause", "sg-0000000a", "--reason", "x"],
        &["pause", "sg-0000000a", "--for", "soon", "--reason", "x"],
        &["pause", "sg-0000000a", "--for", "2h", "--reason", " "],
        &["release", "sg-0000000a"],
        &["release", "sg-0000000a", "tcp 443"],
        &["history"],
        &["history", "sg-0000000a", "--settings"],
        &["incidents", "sg_1"],
        &["incidents", "--since", "yesterday"],
        &["incidents", "--since", "-7d"],
        &["incidents", "--html"],
        &["incidents", "--html", "-", "--output", "json"],
        &["completions"],
        &["doctor", "sg-0000000a"],
        &["doctor", "--scope", "eu-west-1"],
        &["doctor", "--scope", "12/eu-west-1"],
        &["completions", "cmd"],
        &["rollback", "sg-0000000a"],
        &["rollback", "sg-0000000a", "--to", "first"],
        &["principal"],
        &["principal", "add", "*x"],
        &["principal", "add", "*x", "--policy", "allow"],
        &[
            "principal",
            "add",
            "*x",
            "--policy",
            "follow",
            "--settle-seconds",
            "61",
        ],
        &[
            "principal",
            "add",
            "*x",
            "--policy",
            "accept",
            "--settle-seconds",
            "5",
        ],
        &["principal", "remove"],
        &["import"],
        &["import", "terraform"],
        &["import", "terraform", "x", "--mode", "watch"],
        &["man", "pin"],
        &["principal", "reset", "x"],
    ] {
        let done = run(bare(arguments), "").exits(2);
        assert!(
            done.out.is_empty() && !done.err.is_empty(),
            "{arguments:?}: {done:?}"
        );
    }
}

/// A slip of the hand in an id must not look like a group that is not there.
#[test]
fn a_malformed_id_is_wrong_usage_with_every_verb_that_takes_one() {
    for arguments in [
        &["pin", "sg-zz"][..],
        &["show", "sg-123"],
        &["status", "sg-0123456789abcdeff0"],
        &["export", "sg-zz"],
        &["plan", "sg-zz"],
        &["restore", "sg-0000000a", "sg-zz"],
        &["pause", "sg-zz", "--for", "1h", "--reason", "x"],
        &["resume", "sg-zz"],
        &["release", "sg-zz", "tcp 443 from 10.0.0.0/8"],
        &["unpin", "sg-zz"],
        &["history", "sg-zz"],
        &["rollback", "sg-zz", "--to", "1"],
        &["incidents", "sg-zz"],
        &["principal", "list", "sg-zz"],
        &follow("*x", "sg-zz"),
        &["principal", "remove", "*x", "--group", "sg-zz"],
        &["list", "--account", "11112222333"],
    ] {
        let done = run(bare(arguments), "").exits(2);
        let said = done
            .err
            .contains("is no security group id: one has 8 or 17")
            || done.err.contains("is not an AWS account id");
        assert!(said, "{arguments:?}: {done:?}");
    }
}

#[test]
fn manual_pages_are_written_for_every_verb_and_can_be_formatted() {
    let main = run(bare(&["man"]), "").exits(0).out;
    for part in [
        ".TH rulekeeper 1",
        "rulekeeper\\-pin(1)",
        ".SH \"EXIT CODES\"",
    ] {
        assert!(main.contains(part), "{part} is not in {main}");
    }
    let folder = scratch("man").join("man1");
    let dir = folder.to_str().expect("UTF-8");
    let done = run(bare(&["man", "--dir", dir]), "").exits(0);
    let files: Vec<Value> = done.items().iter().map(|it| it["file"].clone()).collect();
    let names: Vec<&str> = files
        .iter()
        .filter_map(|file| file.as_str()?.rsplit('/').next())
        .collect();
    for name in [
        "rulekeeper.1",
        "rulekeeper-pin.1",
        "rulekeeper-principal-add.1",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    let written = std::fs::read_to_string(folder.join("rulekeeper.1"));
    assert_eq!(written.expect("the page"), main);
    // Once more, over those that are there.
    run(bare(&["man", "--dir", dir]), "").exits(0);
    for file in &files {
        let mut groff = std::process::Command::new("groff");
        groff.args(["-man", "-Kutf8", "-Tutf8", "-ww", "-z"]);
        groff.arg(file.as_str().expect("a path"));
        // What is not installed cannot be asked.
        let Ok(read) = groff.output() else { return };
        let said = String::from_utf8_lossy(&read.stderr).into_owned();
        assert!(read.status.success() && said.is_empty(), "{file}: {said}");
    }
}

#[test]
fn help_goes_to_standard_output_with_examples_and_exit_codes() {
    let help = run(bare(&["--help"]), "").exits(0).out;
    assert!(
        help.contains("Exit codes:") && help.contains("3  drift found"),
        "{help}"
    );
    for verb in [
        &["pin"][..],
        &["apply"],
        &["show"],
        &["export"],
        &["status"],
        &["schema"],
        &["plan"],
        &["restore"],
        &["replay"],
        &["pause"],
        &["resume"],
        &["release"],
        &["confirm"],
        &["unpin"],
        &["history"],
        &["rollback"],
        &["incidents"],
        &["completions"],
        &["list"],
        &["man"],
        &["principal", "reset"],
        &["doctor"],
        &["principal", "list"],
        &["principal", "add"],
        &["principal", "remove"],
        &["import", "terraform"],
        &["import", "cloudformation"],
    ] {
        assert!(help.contains(verb[0]), "{verb:?}");
        let help = run(bare(&[verb, &["--help"]].concat()), "").exits(0).out;
        let example = format!("Examples:\n  rulekeeper {}", verb.join(" "));
        assert!(help.contains(&example), "{help}");
    }
}

#[test]
fn a_pause_that_no_one_can_mean_is_refused_with_what_to_do_instead() {
    let pause = |length: &str| {
        let arguments = ["pause", "sg-0000000a", "--reason", "x", "--for", length];
        run(bare(&arguments), "").exits(2).err
    };
    for length in ["0s", "-2h", "-1 day"] {
        let said = pause(length);
        assert!(said.contains("must be longer than 0"), "{length}: {said}");
    }
    for length in ["31d", "1 month"] {
        let said = pause(length);
        assert!(said.contains("30 days at most"), "{length}: {said}");
        assert!(
            said.contains("--mode observe") && said.contains("unpin"),
            "{said}"
        );
    }
    let said = pause("soon");
    assert!(said.contains("such as 90m, 2h or 1d 12h"), "{said}");
}

#[test]
fn looking_back_by_what_is_no_duration_says_what_would_be_one() {
    let since = |length: &str| {
        let done = run(bare(&["incidents", "--since", length]), "");
        done.exits(2).err
    };
    assert!(since("yesterday").contains("such as 90m, 7d or 1 month"));
    assert!(since("7d ago").contains("counts back from now"));
}

#[test]
fn a_page_that_cannot_be_written_is_refused_before_anything_is_asked_of_the_cloud() {
    let page = |file: &str| run(bare(&["incidents", "--html", file]), "").exits(1).err;
    let there = scratch("usage");
    let there = there.to_str().expect("UTF-8");
    let said = page(there);
    assert!(
        said.contains(&format!("error: {there} is a folder")),
        "{said}"
    );
    let said = page(&format!("{there}/nowhere/page.html"));
    assert!(
        said.contains(&format!("there is no folder {there}/nowhere")),
        "{said}"
    );
}

#[test]
fn completions_need_no_setting_and_know_the_verbs() {
    for (shell, word) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef rulekeeper"),
        ("fish", "complete -c rulekeeper"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer"),
    ] {
        let done = run(bare(&["completions", shell]), "").exits(0);
        assert!(done.out.contains(word), "{shell}: {}", done.out);
        assert!(done.out.contains("incidents"), "{shell}: {}", done.out);
        assert_eq!(done.err, "");
    }
}

#[test]
fn bash_can_read_its_completions() {
    let script = run(bare(&["completions", "bash"]), "").exits(0).out;
    let mut bash = std::process::Command::new("bash");
    bash.arg("-n");
    if std::process::Command::new("bash")
        .arg("--version")
        .output()
        .is_err()
    {
        return;
    }
    let read = run(bash, &script).exits(0);
    assert_eq!(read.err, "");
}

#[test]
fn a_missing_setting_is_named_with_what_to_set() {
    let no_table = run(bare(&["list", "--region", "eu-west-1"]), "").exits(2);
    assert!(
        no_table
            .err
            .contains("error: no table is named\n\nhint: Give --table"),
        "{no_table:?}"
    );
    let no_region = run(bare(&["list", "--table", "t"]), "").exits(2);
    assert!(
        no_region
            .err
            .contains("error: no AWS Region is set\n\nhint: Give --region"),
        "{no_region:?}"
    );
    let mut command = bare(&["list"]);
    command.env("RULEKEEPER_LOG", "a=b=c");
    let filter = run(command, "").exits(2);
    assert!(
        filter.err.contains("RULEKEEPER_LOG is \"a=b=c\""),
        "{filter:?}"
    );
}

#[test]
fn missing_credentials_are_named_whether_or_not_sts_is_asked() {
    for account in [&[][..], &["--account", "111122223333"]] {
        let mut arguments = vec![
            "list",
            "--table",
            "t",
            "--region",
            "eu-west-1",
            "--endpoint-url",
            "http://127.0.0.1:9",
        ];
        arguments.extend(account);
        let done = run(bare(&arguments), "").exits(1);
        assert!(
            done.err
                .contains("error: there are no AWS credentials to use"),
            "{done:?}"
        );
        assert!(
            done.err
                .contains("hint: Name a profile with --profile or AWS_PROFILE"),
            "{done:?}"
        );
    }
}

#[test]
fn a_file_with_findings_is_refused_before_anything_is_asked_of_the_cloud() {
    let file = scratch("usage").join("record.yaml");
    std::fs::write(&file, "# web\ngroup: sg-0000000a\nmode: watch\n").expect("a file");
    let file = file.to_str().expect("UTF-8");
    let done = run(bare(&["apply", "-f", file]), "").exits(1);
    for finding in [
        "3:1: mode: \"watch\" is not enforce or observe",
        "2:1: rules: is missing",
    ] {
        let finding = format!("{file}:{finding}");
        assert!(done.err.contains(&finding), "{finding}: {done:?}");
    }
}

#[test]
fn the_settings_of_the_function_are_taken_from_the_environment() {
    let mut command = bare(&["list"]);
    command.env("RULEKEEPER_RULES_PER_GROUP", "many");
    assert!(
        run(command, "")
            .exits(2)
            .err
            .contains("a number from 1 to 1000")
    );
    let mut command = bare(&["list"]);
    command
        .env("RULEKEEPER_RULES_PER_GROUP", "")
        .env("RULEKEEPER_ROLE_NAME", "")
        .env("RULEKEEPER_TABLE", "");
    assert!(run(command, "").exits(2).err.contains("no table is named"));
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let mut command = bare(&["replay", "../events/revoke-denied.json"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}
