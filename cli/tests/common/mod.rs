//! The real binary, and moto as the cloud around it: one moto for a test binary, one table for a test.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ec2::types::{
    IpPermission, IpRange, ResourceType, SecurityGroupRule, Tag, TagSpecification,
};
use rulekeeper::aws::attributes::from_json;
use serde_json::Value;

#[path = "../../../tests/support/moto.rs"]
mod moto;

use moto::{MotoTable, moto, sdk_config};

/// moto's account.
pub(crate) const ACCOUNT: &str = "123456789012";
/// The Region of most sample events.
pub(crate) const REGION: &str = "eu-west-1";

/// The rules of a pinned group.
pub(crate) const WEB: &str = "tcp 443 from 10.0.0.0/8";
pub(crate) const OLD: &str = "tcp 80 from 10.0.0.0/8";

/// The command that lists a followed principal in the record of a group.
pub(crate) fn follow<'a>(arn: &'a str, group: &'a str) -> [&'a str; 7] {
    [
        "principal",
        "add",
        arn,
        "--policy",
        "follow",
        "--group",
        group,
    ]
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    /// The one document on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The items of the document, which has the form of all.
    pub(crate) fn items(&self) -> Vec<Value> {
        let document = self.json();
        assert_eq!(document["schema"], 1, "{self:?}");
        assert!(document["kind"].is_string(), "{self:?}");
        document["items"].as_array().expect("items").clone()
    }

    /// The only item.
    pub(crate) fn item(&self) -> Value {
        let mut items = self.items();
        assert_eq!(items.len(), 1, "{self:?}");
        items.remove(0)
    }

    /// The same, after a look at the exit code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// The binary with nothing of our environment, and no place to find configuration.
pub(crate) fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rulekeeper"));
    command
        .env_clear()
        .env("HOME", scratch("home"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .args(arguments);
    command
}

/// Runs a command with this on its standard input.
pub(crate) fn run(mut command: Command, input: &str) -> Done {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // A command that does not read its input ends without it.
    let _ = child
        .stdin
        .take()
        .expect("piped")
        .write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the binary ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Done {
        code: output.status.code().expect("an exit code"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// Passes what is typed on to a command that believes to be on a terminal, and what that shows to standard output.
const ON_A_TERMINAL: &str = "
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
";

/// A command on a terminal.
pub(crate) struct Terminal {
    child: Child,
    shown: String,
}

impl Terminal {
    /// Python, which moto needs too, makes the terminal.
    pub(crate) fn start(command: &Command) -> Self {
        let moto = std::env::var_os("RULEKEEPER_MOTO").expect("`make test` sets it");
        let mut outer = Command::new(Path::new(&moto).with_file_name("python"));
        outer.env_clear().args(["-c", ON_A_TERMINAL]);
        outer.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            outer.env(name, value.unwrap_or_default());
        }
        let child = outer
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("python starts");
        Self {
            child,
            shown: String::new(),
        }
    }

    /// Waits for a question; gives what was shown up to its end since the last one.
    pub(crate) fn asked(&mut self) -> String {
        let mut read = Vec::new();
        let out = self.child.stdout.as_mut().expect("piped");
        while !read.ends_with(b"[y/N] ") {
            let mut byte = [0];
            let count = out.read(&mut byte).expect("it can be read");
            let so_far = String::from_utf8_lossy(&read);
            assert_eq!(count, 1, "it ended and asked nothing: {so_far}");
            read.push(byte[0]);
        }
        let text = String::from_utf8(read).expect("UTF-8").replace('\r', "");
        self.shown += &text;
        text
    }

    /// Answers a question.
    pub(crate) fn answer(&mut self, text: &str) {
        let line = format!("{text}\n");
        let input = self.child.stdin.as_mut().expect("piped");
        input.write_all(line.as_bytes()).expect("it can be written");
        input.flush().expect("it can be written");
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&mut self) {
        let input = self.child.stdin.as_mut().expect("piped");
        input.write_all(b"\x03").expect("it can be written");
        input.flush().expect("it can be written");
    }

    /// Waits for the end; gives the exit code and all that was shown.
    pub(crate) fn end(mut self) -> Done {
        let mut rest = String::new();
        let mut out = self.child.stdout.take().expect("piped");
        out.read_to_string(&mut rest).expect("UTF-8");
        let status = self.child.wait().expect("it ends");
        Done {
            code: status.code().expect("an exit code"),
            out: self.shown + &rest.replace('\r', ""),
            err: String::new(),
        }
    }
}

/// An empty folder of this name.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A cloud with an empty table.
pub(crate) struct Scene {
    table: String,
    folder: PathBuf,
    pub(crate) ec2: aws_sdk_ec2::Client,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
}

impl Scene {
    /// `name` is the test's own, for its table and files.
    pub(crate) async fn new(name: &str) -> Self {
        let MotoTable {
            client,
            name: table,
        } = MotoTable::named(name.to_owned()).await;
        let folder = scratch(name);
        let ec2 = aws_sdk_ec2::Client::new(&sdk_config(moto(), REGION));
        // moto loads its EC2 with the first call, which takes seconds. This one may be repeated without harm.
        ec2.describe_vpcs().send().await.expect("VPCs");
        Self {
            table,
            folder,
            ec2,
            dynamodb: client,
        }
    }

    /// The same with a group whose rules `WEB` and `OLD` are pinned, and its id.
    pub(crate) async fn pinned(name: &str) -> (Self, String) {
        let scene = Self::new(name).await;
        let group = scene.group(name, &[443, 80]).await;
        scene.rulekeeper(&["pin", &group]).exits(0);
        (scene, group)
    }

    /// Runs the binary in this cloud.
    pub(crate) fn rulekeeper(&self, arguments: &[&str]) -> Done {
        self.rulekeeper_reading(arguments, "")
    }

    /// Runs the binary in this cloud with something on its standard input.
    pub(crate) fn rulekeeper_reading(&self, arguments: &[&str], input: &str) -> Done {
        run(self.command(arguments), input)
    }

    /// Starts the binary in this cloud, on a terminal.
    pub(crate) fn terminal(&self, arguments: &[&str]) -> Terminal {
        Terminal::start(&self.command(arguments))
    }

    /// The binary in this cloud.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command
            .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_REGION", REGION)
            .env("AWS_ENDPOINT_URL", moto())
            .env("RULEKEEPER_TABLE", &self.table);
        command
    }

    /// A file of this test.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// A path for a file of this test, where there is none.
    pub(crate) fn path(&self, name: &str) -> String {
        let path = self.folder.join(name);
        if path.exists() {
            std::fs::remove_file(&path).expect("an old file goes");
        }
        path.to_str().expect("UTF-8").to_owned()
    }

    /// A new group with these TCP ports open to 10.0.0.0/8, each described as `port N` and tagged `owner: test`.
    pub(crate) async fn group(&self, name: &str, ports: &[i32]) -> String {
        let created = self
            .ec2
            .create_security_group()
            .group_name(name)
            .description(name)
            .send()
            .await;
        let id = created.expect("a group").group_id.expect("its id");
        for port in ports {
            let tags = TagSpecification::builder()
                .resource_type(ResourceType::SecurityGroupRule)
                .tags(Tag::builder().key("owner").value("test").build());
            let authorized = self
                .ec2
                .authorize_security_group_ingress()
                .group_id(&id)
                .ip_permissions(permission(*port))
                .tag_specifications(tags.build())
                .send();
            authorized.await.expect("a rule");
        }
        id
    }

    /// Takes such a rule away.
    pub(crate) async fn revoke(&self, group: &str, port: i32) {
        let revoke = self
            .ec2
            .revoke_security_group_ingress()
            .group_id(group)
            .ip_permissions(permission(port));
        revoke.send().await.expect("revoked");
    }

    /// The live ingress rules of a group by port.
    pub(crate) async fn rules(&self, group: &str) -> Vec<SecurityGroupRule> {
        let filter = aws_sdk_ec2::types::Filter::builder()
            .name("group-id")
            .values(group)
            .build();
        let found = self
            .ec2
            .describe_security_group_rules()
            .filters(filter)
            .send()
            .await
            .expect("rules");
        let rules = found.security_group_rules.unwrap_or_default().into_iter();
        let mut rules: Vec<_> = rules.filter(|rule| rule.is_egress != Some(true)).collect();
        rules.sort_by_key(|rule| rule.from_port);
        rules
    }

    /// The ports of the live rules.
    pub(crate) async fn ports(&self, group: &str) -> Vec<i32> {
        self.rules(group)
            .await
            .iter()
            .filter_map(|rule| rule.from_port)
            .collect()
    }

    /// How many items the table holds.
    pub(crate) async fn items(&self) -> usize {
        let scan = self
            .dynamodb
            .scan()
            .table_name(&self.table)
            .send()
            .await
            .expect("a scan");
        // That the account and Region have records is noted once for all of them.
        let items = scan.items.unwrap_or_default();
        let of_groups = items
            .iter()
            .filter(|item| item["pk"].as_s().is_ok_and(|pk| pk != "fleet"));
        of_groups.count()
    }

    /// Writes an attribute of a group's record, or makes a record of nothing else, as people do in the console.
    pub(crate) async fn write_attribute(&self, group: &str, name: &str, value: AttributeValue) {
        let update = self
            .dynamodb
            .update_item()
            .table_name(&self.table)
            .key(
                "pk",
                AttributeValue::S(format!("desired#{ACCOUNT}#{REGION}")),
            )
            .key("sk", AttributeValue::S(group.to_owned()))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", value);
        update.send().await.expect("an attribute");
    }

    fn earlier(&self, group: &str, generation: u64) -> PutItemFluentBuilder {
        let key = format!("history#{ACCOUNT}#{REGION}#{group}");
        let put = self.dynamodb.put_item().table_name(&self.table);
        put.item("pk", AttributeValue::S(key))
            .item("sk", AttributeValue::S(format!("{generation:012}")))
    }

    /// Writes an earlier generation of a group's record.
    pub(crate) async fn put_history(&self, group: &str, generation: u64) {
        let put = self.earlier(group, generation);
        put.send().await.expect("history");
    }

    /// Writes an earlier generation with a note of so many bytes.
    pub(crate) async fn put_long_history(&self, group: &str, generation: u64, bytes: usize) {
        let put = self
            .earlier(group, generation)
            .item("rules", AttributeValue::L(Vec::new()))
            .item("note", AttributeValue::S("x".repeat(bytes)));
        put.send().await.expect("history");
    }

    /// Writes an item among a group's incidents.
    pub(crate) async fn put_incident(
        &self,
        group: &str,
        key: &str,
        attributes: HashMap<String, AttributeValue>,
    ) {
        let pk = format!("incident#{ACCOUNT}#{REGION}#{group}");
        let put = self
            .dynamodb
            .put_item()
            .table_name(&self.table)
            .set_item(Some(attributes))
            .item("pk", AttributeValue::S(pk))
            .item("sk", AttributeValue::S(key.to_owned()));
        put.send().await.expect("an incident");
    }

    /// Writes the run-time state of a group, as the function does.
    pub(crate) async fn put_state(&self, group: &str, state: Value) {
        let Value::Object(state) = state else {
            panic!("an object")
        };
        let pk = format!("state#{ACCOUNT}#{REGION}");
        let put = self
            .dynamodb
            .put_item()
            .table_name(&self.table)
            .set_item(Some(from_json(&state)))
            .item("pk", AttributeValue::S(pk))
            .item("sk", AttributeValue::S(group.to_owned()));
        put.send().await.expect("a state");
    }

    /// Writes an attribute of the settings, as people do in the console.
    pub(crate) async fn write_setting(&self, name: &str, value: AttributeValue) {
        let key = AttributeValue::S("settings".to_owned());
        let update = self
            .dynamodb
            .update_item()
            .table_name(&self.table)
            .key("pk", key.clone())
            .key("sk", key)
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", value);
        update.send().await.expect("a setting");
    }

    /// A record file for a group with these ports.
    pub(crate) fn record(&self, group: &str, ports: &[i32]) -> String {
        let mut text =
            format!("account: \"{ACCOUNT}\"\nregion: {REGION}\ngroup: {group}\nrules:\n");
        for port in ports {
            text += &format!(
                "  - {{protocol: tcp, from_port: {port}, to_port: {port}, cidr_ipv4: 10.0.0.0/8}}\n"
            );
        }
        text
    }

    /// A sample event that is about a group of this cloud.
    pub(crate) fn event(&self, name: &str, group: &str) -> String {
        let text =
            std::fs::read_to_string(Path::new("../events").join(name)).expect("a sample event");
        text.replace("111122223333", ACCOUNT)
            .replace("sg-0123456789abcdef0", group)
    }
}

fn permission(port: i32) -> IpPermission {
    let range = IpRange::builder()
        .cidr_ip("10.0.0.0/8")
        .description(format!("port {port}"));
    IpPermission::builder()
        .ip_protocol("tcp")
        .from_port(port)
        .to_port(port)
        .ip_ranges(range.build())
        .build()
}
