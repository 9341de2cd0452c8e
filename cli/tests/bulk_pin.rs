//! `pin` of many groups, by the real binary against the local stack, which pages and counts its calls.

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{Done, Scene, Terminal, bare, run};
use rulekeeper_local::{Ec2, Fault, Latency, Params, Stack, StackConfig};
use serde_json::{Value, json};

const REGION: &str = "eu-west-1";
const OFFICE: &str = "tcp 443 from 10.0.0.0/8";
const OLD: &str = "tcp 80 from 10.0.0.0/8";

/// An account with a table, and one VPC with nothing in it but its default group.
struct Account {
    stack: Stack,
    vpc: String,
}

impl Account {
    fn new() -> Self {
        let stack = Stack::start(StackConfig {
            region: REGION.to_owned(),
            table: Some("rulekeeper".to_owned()),
            ..StackConfig::default()
        });
        let stack = stack.expect("the local stack starts");
        let vpc = stack.cloud().ec2().quietly().create_vpc("10.0.0.0/16");
        Self {
            vpc: vpc.expect("a VPC"),
            stack,
        }
    }

    fn ec2(&self) -> Ec2 {
        self.stack.cloud().ec2().quietly()
    }

    fn group(&self, name: &str, rules: &[&str]) -> String {
        self.tagged(name, rules, &[])
    }

    fn tagged(&self, name: &str, rules: &[&str], tags: &[(&str, &str)]) -> String {
        let mut pairs: Vec<(String, String)> = [
            ("GroupName", name),
            ("GroupDescription", name),
            ("VpcId", &self.vpc),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        if !tags.is_empty() {
            let kind = "TagSpecification.1.ResourceType".to_owned();
            pairs.push((kind, "security-group".to_owned()));
        }
        for (place, (key, value)) in tags.iter().enumerate() {
            let tag = format!("TagSpecification.1.Tag.{}", place + 1);
            pairs.push((format!("{tag}.Key"), (*key).to_owned()));
            pairs.push((format!("{tag}.Value"), (*value).to_owned()));
        }
        let made = self
            .ec2()
            .call("CreateSecurityGroup", &Params::from_pairs(pairs));
        let made = made.expect("a group");
        let id = made["groupId"].as_str().expect("its id").to_owned();
        if !rules.is_empty() {
            self.ec2().authorize(&id, rules).expect("good");
        }
        id
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command
            .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_REGION", REGION)
            .env("AWS_ENDPOINT_URL", self.stack.endpoint())
            .env("RULEKEEPER_TABLE", "rulekeeper");
        command
    }

    fn rulekeeper(&self, arguments: &[&str]) -> Done {
        run(self.command(arguments), "")
    }

    /// `pin` of the whole VPC.
    fn pin(&self, more: &[&str]) -> Done {
        self.rulekeeper(&[&["pin", "--vpc", &self.vpc][..], more].concat())
    }

    fn records(&self) -> Vec<Value> {
        self.rulekeeper(&["list"]).exits(0).items()
    }

    fn written(&self) -> usize {
        self.stack.cloud().count("TransactWriteItems")
    }
}

/// The line of a group.
fn line<'d>(document: &'d Value, group: &str) -> &'d Value {
    let groups = document["items"].as_array().expect("groups");
    let found = groups.iter().find(|line| line["group"]["id"] == group);
    found.unwrap_or_else(|| panic!("{group} is not in {document:#}"))
}

fn outcome<'d>(document: &'d Value, group: &str) -> &'d str {
    line(document, group)["outcome"].as_str().expect("a text")
}

#[test]
fn a_vpc_of_more_groups_than_one_read_takes_is_recorded_once() {
    let account = Account::new();
    let groups: Vec<String> = (0..449)
        .map(|number| account.group(&format!("web-{number}"), &[OFFICE]))
        .collect();
    let cloud = account.stack.cloud();
    cloud.adjust(|dials| dials.page_limit = Some(100));
    let pinned = account.pin(&["--yes"]).exits(0);
    assert_eq!(pinned.err, "", "no bar where there is no terminal");
    let pinned = pinned.json();
    assert_eq!(pinned["items"].as_array().map(Vec::len), Some(450));
    for group in &groups {
        let line = line(&pinned, group);
        assert_eq!(
            (&line["outcome"], &line["generation"], &line["added"]),
            (&json!("new"), &json!(1), &json!([OFFICE]))
        );
    }
    // Pages of 100: 450 groups; 900 rules, outbound ones included, of 200, 200 and 50 groups.
    assert_eq!(cloud.count("DescribeSecurityGroups"), 5);
    assert_eq!(cloud.count("DescribeSecurityGroupRules"), 4 + 4 + 1);
    // All but the VPC's default group.
    assert_eq!(account.written(), 449);
    assert_eq!(cloud.count("AuthorizeSecurityGroupIngress"), 0);
    assert_eq!(account.records().len(), 449);

    cloud.clear_calls();
    let again = account.pin(&["--yes"]).exits(0).json();
    assert_eq!(outcome(&again, &groups[7]), "unchanged");
    assert_eq!(account.written(), 0, "nothing differs");
    assert_eq!(
        cloud.count("BatchGetItem"),
        1,
        "records are read together, and the settings once"
    );
}

#[test]
fn a_dry_run_shows_what_would_be_recorded_and_writes_nothing() {
    let account = Account::new();
    let web = account.group("web", &[OFFICE, OLD]);
    let shown = account.pin(&["--dry-run"]).exits(0).json();
    assert_eq!(shown["dry_run"], true);
    let first = line(&shown, &web);
    assert_eq!(
        first,
        &json!({
            "group": {"account": "111122223333", "region": REGION, "id": web}, "name": "web", "vpc_id": account.vpc,
            "rules": 2, "outcome": "new", "changed": false, "added": [OLD, OFFICE], "removed": [],
        })
    );
    let text = account
        .pin(&["--dry-run", "--output", "table"])
        .exits(0)
        .out;
    assert!(text.contains("web") && text.contains("new"), "{text}");
    assert!(text.ends_with("\n1 new, 1 left out\n"), "{text}");
    // One group too, for which nothing is left out.
    let one = account.rulekeeper(&["pin", &web, "--dry-run"]).exits(0);
    assert_eq!(outcome(&one.json(), &web), "new");
    assert_eq!((account.written(), account.records().len()), (0, 0));
}

#[test]
fn groups_of_services_are_left_out_by_name_unless_they_are_asked_for() {
    let account = Account::new();
    let web = account.group("web", &[OFFICE]);
    let eks = account.group("eks-cluster-sg-prod-1234", &[OFFICE]);
    let emr = account.group("ElasticMapReduce-ServiceAccess", &[OFFICE]);
    let stack = account.tagged("stack-web", &[OFFICE], &[("elbv2.k8s.aws/cluster", "prod")]);
    let pinned = account.pin(&["--yes"]).exits(0).json();
    assert_eq!(outcome(&pinned, &web), "new");
    assert_eq!(
        outcome(&pinned, &stack),
        "new",
        "a controller's, no service's"
    );
    for (group, service) in [(&eks, "Amazon EKS"), (&emr, "Amazon EMR")] {
        let left = line(&pinned, group);
        assert_eq!(left["outcome"], "left_out");
        let reason = left["reason"].as_str().expect("a reason");
        assert!(
            reason.starts_with(&format!("{service} manages it")),
            "{reason}"
        );
        assert!(reason.contains("--include-managed"), "{reason}");
    }
    // Named beside another, which the reader of the report is told.
    let named = account
        .rulekeeper(&["pin", &eks, &web, "--yes"])
        .exits(0)
        .json();
    assert_eq!(
        (outcome(&named, &eks), outcome(&named, &web)),
        ("new", "unchanged")
    );
    let reason = line(&named, &eks)["reason"].as_str().expect("a remark");
    assert!(reason.starts_with("Amazon EKS manages it"), "{reason}");
    let included = account.pin(&["--yes", "--include-managed"]).exits(0).json();
    assert_eq!(outcome(&included, &emr), "new");
}

#[test]
fn an_outage_is_not_pinned_unless_records_are_to_be_replaced() {
    let account = Account::new();
    let dark = account.group("dark", &[OFFICE, OLD]);
    let swapped = account.group("swapped", &[OLD]);
    account.pin(&["--yes", "--mode", "observe"]).exits(0);
    account.ec2().revoke(&dark, &[OFFICE, OLD]).expect("live");
    account.ec2().revoke(&swapped, &[OLD]).expect("live");
    account.ec2().authorize(&swapped, &[OFFICE]).expect("good");
    let grown = account.group("grown", &[OFFICE]);

    let careful = account.pin(&["--yes"]).exits(0).json();
    assert_eq!(outcome(&careful, &grown), "new");
    for (group, lost) in [(&dark, vec![OLD, OFFICE]), (&swapped, vec![OLD])] {
        let left = line(&careful, group);
        assert_eq!(
            (&left["outcome"], &left["removed"], &left["changed"]),
            (&json!("left_out"), &json!(lost), &json!(false))
        );
        let shown = account.rulekeeper(&["show", group]).exits(0).item();
        assert_eq!(shown["generation"], 1, "the record remembers");
    }
    let text = account
        .pin(&["--dry-run", "--output", "table"])
        .exits(0)
        .out;
    let lost = format!("\n{dark} would lose\n  - {OLD}\n  - {OFFICE}\n");
    assert!(text.contains(&lost), "{text}");
    assert!(text.contains("--replace"), "{text}");
    // Several that are named are many too.
    let named = account.rulekeeper(&["pin", &dark, &swapped, "--yes"]);
    assert_eq!(outcome(&named.exits(0).json(), &dark), "left_out");

    let replaced = account.pin(&["--yes", "--replace"]).exits(0).json();
    assert_eq!(line(&replaced, &dark)["generation"], 2);
    let shown = account.rulekeeper(&["show", &dark]).exits(0).item();
    assert_eq!(
        (&shown["rules"], &shown["mode"]),
        (&json!([]), &json!("observe")),
        "the mode stays"
    );
}

#[test]
fn a_group_that_was_taken_out_of_keeping_stays_out_until_it_is_named() {
    let account = Account::new();
    let web = account.group("web", &[OFFICE]);
    let api = account.group("api", &[OFFICE]);
    account.pin(&["--yes"]).exits(0);
    let unpin = ["unpin", &web, "--reason", "its owners keep it"];
    account.rulekeeper(&unpin).exits(0);
    let pinned = account.pin(&["--yes"]).exits(0).json();
    let left = line(&pinned, &web);
    assert_eq!(left["outcome"], "left_out");
    let reason = left["reason"].as_str().expect("a reason");
    assert!(reason.contains("taken out in generation 2"), "{reason}");
    let named = account.rulekeeper(&["pin", &web, &api, "--yes"]).exits(0);
    assert_eq!(line(&named.json(), &web)["generation"], 3);
}

#[test]
fn groups_are_chosen_by_all_of_their_tags() {
    let account = Account::new();
    let web = account.tagged("web", &[OFFICE], &[("env", "prod"), ("team", "web")]);
    let api = account.tagged("api", &[OFFICE], &[("env", "prod")]);
    account.tagged("test", &[OFFICE], &[("env", "prod*"), ("team", "web")]);
    let chosen = |arguments: &[&str]| -> Vec<String> {
        let arguments = [&["pin", "--dry-run"][..], arguments].concat();
        let shown = account.rulekeeper(&arguments).exits(0).json();
        let groups = shown["items"].as_array().expect("groups").iter();
        let mut names: Vec<String> = groups
            .map(|line| line["name"].as_str().unwrap_or_default().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(chosen(&["--tag", "env=prod"]), ["api", "web"]);
    assert_eq!(chosen(&["--tag", "env=prod", "--tag", "team"]), ["web"]);
    assert_eq!(chosen(&["--tag", "team"]), ["test", "web"]);
    assert_eq!(chosen(&["--tag", "env=prod*"]), ["test"], "no wildcard");
    assert_eq!(
        chosen(&["--vpc", &account.vpc, "--tag", "env=prod"]),
        ["api", "web"]
    );
    let default = account.ec2().default_vpc().expect("a default VPC");
    assert_eq!(chosen(&["--vpc", &default]), ["default"]);
    assert_eq!(chosen(&["--vpc", &default, "--vpc", &account.vpc]).len(), 5);
    assert_eq!(chosen(&["--all"]).len(), 5);
    assert_eq!(chosen(&[&web, &api]), ["api", "web"]);

    let none = account
        .rulekeeper(&["pin", "--tag", "env=Prod", "--yes"])
        .exits(1);
    assert!(
        none.err.contains("has no security group tagged env=Prod"),
        "{none:?}"
    );
}

#[test]
fn what_cannot_be_written_is_named_and_the_same_command_writes_it_later() {
    let account = Account::new();
    let groups = ["a", "b", "c"].map(|name| account.group(name, &[OFFICE]));
    let refusal = Fault::error("TransactWriteItems", "AccessDeniedException", 400);
    let refusal = refusal.mentioning(&groups[1]).always();
    account.stack.cloud().inject(refusal);
    let pinned = account.pin(&["--yes"]).exits(1).json();
    let failed = line(&pinned, &groups[1]);
    assert_eq!(
        (&failed["outcome"], &failed["changed"]),
        (&json!("failed"), &json!(false))
    );
    let reason = failed["reason"].as_str().expect("a reason");
    assert!(reason.contains("AccessDeniedException"), "{reason}");
    for group in [&groups[0], &groups[2]] {
        assert_eq!(line(&pinned, group)["changed"], true);
    }
    account.stack.cloud().adjust(|dials| dials.faults.clear());
    let written = account.written();
    let again = account.pin(&["--yes"]).exits(0).json();
    assert_eq!(outcome(&again, &groups[1]), "new");
    assert_eq!(
        account.written(),
        written + 1,
        "the others are written already"
    );

    let unknown = "sg-0123456789abcdef0";
    let named = account.rulekeeper(&["pin", unknown, &groups[0], "--yes"]);
    let named = named.exits(1).json();
    assert_eq!(
        (outcome(&named, unknown), outcome(&named, &groups[0])),
        ("failed", "unchanged")
    );
}

#[test]
fn rules_that_cannot_be_read_fail_their_groups() {
    let account = Account::new();
    let web = account.group("web", &[OFFICE]);
    let refusal = Fault::error("DescribeSecurityGroupRules", "UnauthorizedOperation", 403);
    account.stack.cloud().inject(refusal.always());
    let pinned = account.pin(&["--yes"]).exits(1).json();
    assert_eq!(outcome(&pinned, &web), "failed");
    assert_eq!(account.written(), 0);
}

#[test]
fn what_was_interrupted_half_way_goes_on_when_it_is_run_again() {
    let account = Account::new();
    for number in 0..30 {
        account.group(&format!("web-{number}"), &[OFFICE]);
    }
    let cloud = account.stack.cloud();
    let slow = Latency {
        fixed_ms: 100,
        jitter_ms: 0,
    };
    cloud.adjust(|dials| dials.latency.insert("TransactWriteItems".to_owned(), slow));
    let mut command = account.command(&["pin", "--vpc", &account.vpc, "--yes"]);
    command.stdout(std::process::Stdio::null());
    let mut child = command.spawn().expect("the binary starts");
    let began = Instant::now();
    while account.written() < 5 {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "nothing is written"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("it can be ended");
    child.wait().expect("it ends");
    cloud.adjust(|dials| dials.latency.clear());
    // The last call was on its way.
    std::thread::sleep(Duration::from_millis(300));
    let so_far = account.records().len();
    assert!((1..30).contains(&so_far), "{so_far}");
    cloud.clear_calls();
    account.pin(&["--yes"]).exits(0);
    assert_eq!(account.records().len(), 30);
    assert_eq!(account.written(), 30 - so_far);
    let generations = account.records();
    assert!(generations.iter().all(|record| record["generation"] == 1));
}

#[test]
fn a_terminal_is_asked_after_the_preview_and_a_write_meanwhile_wins() {
    let account = Account::new();
    let (web, api) = (
        account.group("web", &[OFFICE]),
        account.group("api", &[OLD]),
    );
    let several = ["pin", &web, &api];
    let mut terminal = Terminal::start(&account.command(&several));
    let asked = terminal.asked();
    assert!(
        asked.contains("2 new\nWrite these 2 records? [y/N] "),
        "{asked}"
    );
    terminal.answer("n");
    let ended = terminal.end().exits(1);
    assert!(ended.out.ends_with("nothing was written\n"), "{ended:?}");
    assert_eq!(account.written(), 0);

    let mut terminal = Terminal::start(&account.command(&several));
    terminal.asked();
    account
        .rulekeeper(&["pin", &web, "--note", "first"])
        .exits(0);
    terminal.answer("y");
    let ended = terminal.end().exits(1);
    assert!(
        ended.out.contains("changed while this command was at work"),
        "{ended:?}"
    );
    let notes: Vec<Value> = [&web, &api]
        .map(|group| account.rulekeeper(&["show", group]).exits(0).item()["note"].clone())
        .into();
    assert_eq!(notes, [json!("first"), Value::Null], "the other is written");
    // One group alone is never asked about, nor is anything when there is nothing to write.
    Terminal::start(&account.command(&["pin", &web]))
        .end()
        .exits(0);
    let quiet = Terminal::start(&account.command(&several)).end().exits(0);
    assert!(quiet.out.contains("2 unchanged"), "{quiet:?}");
}

#[test]
fn several_groups_without_a_terminal_take_a_yes_and_what_contradicts_itself_is_wrong_usage() {
    for (arguments, said) in [
        (&["--all"][..], "only with --yes"),
        (&["sg-0000000a", "sg-0000000b"], "only with --yes"),
        (&["sg-0000000a", "--all", "--yes"], "cannot be used with"),
        (
            &["sg-0000000a", "--vpc", "vpc-1", "--yes"],
            "cannot be used with",
        ),
        (&["--all", "--tag", "env", "--yes"], "cannot be used with"),
        (&["--vpc", "main", "--yes"], "a VPC's id such as vpc-"),
        (&["--tag", "=prod", "--yes"], "KEY=VALUE"),
        (
            &["--tag", "env=a", "--tag", "env=b", "--yes"],
            "no group is tagged both env=a and env=b",
        ),
        (&["--yes"], "required"),
        (&["sg-zz"], "is no security group id"),
    ] {
        let done = run(bare(&[&["pin"][..], arguments].concat()), "").exits(2);
        assert!(done.err.contains(said), "{arguments:?}: {done:?}");
    }
    // The same group twice is one.
    let twice = [
        "pin",
        "sg-0000000a",
        "sg-0000000a",
        "--table",
        "t",
        "--region",
        REGION,
    ];
    let done = run(bare(&twice), "").exits(1);
    assert!(done.err.contains("no AWS credentials"), "{done:?}");
}

/// An EC2 that is not ours answers the same questions.
#[tokio::test]
async fn groups_are_chosen_and_recorded_against_another_ec2() {
    let scene = Scene::new("bulk-pin-moto").await;
    let web = scene.group("bulk-pin-web", &[443, 80]).await;
    let eks = scene.group("eks-cluster-sg-prod-1234", &[443]).await;
    let tag = aws_sdk_ec2::types::Tag::builder().key("batch").value("a");
    let tagging = scene.ec2.create_tags().resources(&web).resources(&eks);
    let tagged = tagging.tags(tag.build()).send().await;
    tagged.expect("tagged");
    let pin = ["pin", "--tag", "batch=a", "--yes"];
    let pinned = scene.rulekeeper(&pin).exits(0).json();
    assert_eq!(
        (outcome(&pinned, &web), outcome(&pinned, &eks)),
        ("new", "left_out")
    );
    scene.revoke(&web, 80).await;
    let careful = scene.rulekeeper(&pin).exits(0).json();
    assert_eq!(outcome(&careful, &web), "left_out");
    let restored = scene.rulekeeper(&["restore", &web]).exits(0).item();
    assert_eq!(restored["outcome"], "restored");
    let again = scene.rulekeeper(&pin).exits(0).json();
    // A restored rule is the recorded one, so nothing differs.
    assert_eq!(outcome(&again, &web), "unchanged", "{again:#}");
}
