//! EC2's answers, through the SDK's own parser.

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::{Document, Node};
use rulekeeper_core::decide::plan::Batch;
use rulekeeper_core::fakes::{group, key};
use rulekeeper_core::model::{GroupId, IngressRule, PrefixListId, Tags};
use rulekeeper_core::ports::SecurityGroups as _;
use serde_json::{Map, Value, json};

use crate::cloud::Answer;
use crate::records::means;

/// An answer is used only if it is whole, and then it is what another reader finds in it and in its next page.
pub(crate) fn check(input: &[u8]) {
    let Some(answer) = Answer::of(input, more) else {
        return;
    };
    let groups: [GroupId; 2] = [group().id, "sg-0000000000000000b".parse().expect("an id")];
    let lists = ["pl-0a", "pl-0b"].map(|id| id.parse::<PrefixListId>().expect("an id"));
    let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    match answer.call {
        "rules" => {
            let read = answer.used(async |ec2, _| ec2.ingress_rules(&groups).await);
            let Some(read) = read else { return };
            let mut items = pages(
                &answer,
                "DescribeSecurityGroupRules",
                "securityGroupRuleSet",
            );
            items.retain(|item| text(item, "isEgress") != "true");
            for (group, rules) in &read {
                let ours = items.extract_if(.., |item| text(item, "groupId") == group.as_str());
                let ours: Vec<_> = ours.map(|item| entry(&item)).collect();
                for rule in rules.iter() {
                    let has = ours.iter().any(|item| means(item, &rule.key));
                    assert!(has, "no item means {}", rule.key);
                }
                let known =
                    |item: &&Map<String, Value>| rules.iter().any(|it| means(item, &it.key));
                let unknown = ours.len() - ours.iter().filter(known).count();
                assert_eq!(rules.unrecognised.len(), unknown, "lost: {ours:?}");
            }
            assert!(items.is_empty(), "passed over: {items:?}");
        }
        "groups" => {
            let asked = BTreeSet::from(groups);
            let found = answer.used(async |ec2, _| ec2.existing_groups(&asked).await);
            let Some(found) = found else { return };
            let items = pages(&answer, "DescribeSecurityGroups", "securityGroupInfo");
            let read = items
                .iter()
                .map(|it| (text(it, "groupId"), text(it, "vpcId")));
            let found = found.into_iter().map(|(id, vpc)| (id.to_string(), vpc));
            assert_eq!(found.collect::<BTreeMap<_, _>>(), read.collect());
        }
        "lists" => {
            let asked = BTreeSet::from(lists);
            let found = answer.used(async |ec2, _| ec2.prefix_lists(&asked).await);
            let Some(found) = found else { return };
            let items = pages(&answer, "DescribeManagedPrefixLists", "prefixListSet");
            // AWS's own lists, whose weights the adapter knows, are not among those that are asked for.
            let weight = |it: &Value| text(it, "maxEntries").parse().unwrap_or(1);
            let read = items
                .iter()
                .map(|it| (text(it, "prefixListId"), weight(it)));
            let found = found
                .into_iter()
                .map(|(id, weight)| (id.to_string(), weight));
            assert_eq!(found.collect::<BTreeMap<_, u32>>(), read.collect());
        }
        "authorize" => {
            let batch = Batch {
                rules: vec![IngressRule::bare(key("tcp 443 from 10.0.0.0/8"))],
                tags: Tags::new(),
            };
            let made = answer.used(async |ec2, _| ec2.authorize_ingress(&groups[0], &batch).await);
            if made.is_some() {
                let root = root(answer.text(), "AuthorizeSecurityGroupIngress");
                assert_eq!(root["return"], "true");
            }
        }
        _ => {}
    }
}

/// The second page of each describe.
fn more(asked: &str) -> Option<String> {
    let action = asked.strip_prefix("Action=")?.split('&').next()?;
    let item = "<item><groupId>sg-0000000000000000b</groupId><isEgress>false</isEgress><ipProtocol>-1</ipProtocol>\
                <prefixListId>pl-0b</prefixListId><vpcId>vpc-2</vpcId></item>";
    let sets = ["securityGroupRuleSet", "securityGroupInfo", "prefixListSet"];
    let sets = sets.map(|set| format!("<{set}>{item}</{set}>")).concat();
    let page = format!("<{action}Response>{sets}</{action}Response>");
    asked.contains("&NextToken=").then_some(page)
}

/// The items of a set in the answer, and in the next page if there is one.
fn pages(answer: &Answer<'_>, action: &str, set: &str) -> Vec<Value> {
    let of = |text: &str| {
        let root = root(text, action);
        let items = root[set].as_array().cloned();
        (
            root,
            items.unwrap_or_else(|| panic!("used, and without {set}")),
        )
    };
    let (root, mut items) = of(answer.text());
    if root["nextToken"].as_str().is_some_and(|it| !it.is_empty()) {
        let next = more(&format!("Action={action}&NextToken=")).expect("a page");
        items.extend(of(&next).1);
    }
    items
}

fn root(text: &str, action: &str) -> Value {
    let text = text.trim_ascii();
    // Where the SDK reads no text it does not mind an entity that there is not.
    let escaped = text.replace('&', "&amp;");
    let document = Document::parse(text).or_else(|_| Document::parse(&escaped));
    let document = document.unwrap_or_else(|error| panic!("used, and not well-formed: {error}"));
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), format!("{action}Response"));
    value(root)
}

/// An element: a list if it is called a set, an object if it has others, and else its text. Of two elements of one name the
/// last counts.
fn value(node: Node<'_, '_>) -> Value {
    let name = |node: Node<'_, '_>| node.tag_name().name().to_owned();
    let inner = || node.children().filter(Node::is_element);
    if name(node).ends_with("Set") || name(node) == "securityGroupInfo" {
        return inner()
            .filter(|it| name(*it) == "item")
            .map(value)
            .collect();
    }
    match inner().next() {
        Some(_) => Value::Object(inner().map(|it| (name(it), value(it))).collect()),
        None => node.text().unwrap_or_default().into(),
    }
}

/// An item as an entry of a record. The ports of a protocol without ports count for nothing.
fn entry(item: &Value) -> Map<String, Value> {
    let protocol = item["ipProtocol"]
        .as_str()
        .unwrap_or_default()
        .to_lowercase();
    let info = &item["referencedGroupInfo"];
    let mut entry = Map::from_iter([
        ("cidr_ipv4".to_owned(), item["cidrIpv4"].clone()),
        ("cidr_ipv6".to_owned(), item["cidrIpv6"].clone()),
        ("prefix_list_id".to_owned(), item["prefixListId"].clone()),
        (
            "referenced_group".to_owned(),
            json!({"group_id": info["groupId"], "account_id": info["userId"]}),
        ),
    ]);
    for (name, port) in [
        ("from_port", &item["fromPort"]),
        ("to_port", &item["toPort"]),
    ] {
        let port = match (protocol.trim().trim_start_matches('0'), port) {
            ("icmp" | "icmpv6" | "1" | "58", Value::Null) => json!(-1),
            ("icmp" | "icmpv6" | "1" | "58" | "tcp" | "udp" | "6" | "17", port) => port.clone(),
            _ => Value::Null,
        };
        entry.insert(name.to_owned(), port);
    }
    entry.insert("protocol".to_owned(), protocol.into());
    entry
}
