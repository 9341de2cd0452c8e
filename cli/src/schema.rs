//! The JSON Schema of a record file, for editors and for checks before a merge.
//!
//! What it lets through is a record as `apply` reads it, but for what a schema cannot tell, such as whether a CIDR is one or
//! a rule stands there twice. It is narrower where `apply` is patient: it wants numbers as numbers, and no null.

use rulekeeper_core::desired::{CAUSE_WAIT_SECONDS_MAX, SCHEMA, SETTLE_SECONDS_MAX};
use serde_json::{Value, json};

/// The schema.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rulekeeper record",
        "description": "The ingress rules that a security group should have",
        "type": "object",
        "required": ["group", "rules"],
        "additionalProperties": false,
        "properties": {
            "account": text("^[0-9]{12}$", "The group's account, in quotes. Absent: as --account or the credentials say"),
            "region": text("^[a-z0-9-]+$", "The group's Region. Absent: as --region or the environment says"),
            "group": text("^sg-[0-9a-f]+$", "The security group's id"),
            "schema": {"const": SCHEMA, "description": "The version of this form"},
            "generation": {"type": "integer", "minimum": 0,
                "description": "If given, the record is only written over this generation"},
            "mode": choice(&["enforce", "observe"], "enforce (default), or observe: report what is missing, change nothing"),
            "paused_until": {"type": "string", "format": "date-time",
                "description": "Until then the group is left alone. Absent: a pause that there is stays"},
            "pause_reason": remark("Why the group is paused"),
            "superseding": choice(&["honor", "ignore"],
                "honor (default): a rule may stay missing while live rules allow the same; ignore: it comes back"),
            "principals": {"type": "array", "items": {"$ref": "#/$defs/principal"},
                "description": "Whose changes are meant. They come before those of the settings"},
            "settle_seconds": seconds(SETTLE_SECONDS_MAX.into(), "How long a followed principal's revoke settles"),
            "cause_wait_seconds": seconds(CAUSE_WAIT_SECONDS_MAX, "How long a missing rule waits for its cause"),
            "watch": {"type": "boolean", "description": "Whether the watch reads the group, where the stack has one"},
            "note": remark("Free text"),
            "name": remark("The group's name"),
            "updated_at": remark("When the generation was written; set with each"),
            "updated_by": remark("Who wrote it; set with each"),
            "reason": remark("Why it was written; set with each"),
            "rules": {"type": "array", "items": {"$ref": "#/$defs/rule"},
                "description": "The rules; an empty list keeps none"},
        },
        "$defs": {"rule": rule(), "principal": principal(), "referenced_group": reference()},
    })
}

fn rule() -> Value {
    json!({
        "type": "object",
        "required": ["protocol"],
        "additionalProperties": false,
        "properties": {
            "protocol": {
                "description": "tcp, udp, icmp, icmpv6, -1 or all for all, or a number",
                "anyOf": [
                    {"enum": ["tcp", "udp", "icmp", "icmpv6", "-1", "all"]},
                    {"type": "string", "pattern": "^([0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$"},
                    {"type": "integer", "minimum": -1, "maximum": 255},
                ],
            },
            "from_port": port("The first port; of ICMP the type, -1 for all"),
            "to_port": port("The last port; of ICMP the code, -1 for all"),
            "cidr_ipv4": text("^[0-9.]+/[0-9]{1,2}$", "The source: an IPv4 network such as 10.0.0.0/8"),
            "cidr_ipv6": text("^[0-9a-fA-F:.]+/[0-9]{1,3}$", "The source: an IPv6 network such as 2001:db8::/32"),
            "prefix_list_id": text("^pl-[0-9a-f]+$", "The source: a prefix list"),
            "referenced_group": {"$ref": "#/$defs/referenced_group"},
            "description": {"type": "string", "maxLength": 255,
                "description": "The rule's description; controllers find their own rules by it"},
            "tags": {"type": "object", "additionalProperties": {"type": "string"}, "description": "The rule's tags"},
            "priority": {"type": "integer", "description": "Higher comes back first in a group that is short of room; default 0"},
        },
        "oneOf": [
            {"required": ["cidr_ipv4"]},
            {"required": ["cidr_ipv6"]},
            {"required": ["prefix_list_id"]},
            {"required": ["referenced_group"]},
        ],
        "allOf": [
            {"if": of_protocol(&["tcp", "6", "udp", "17"]), "then": both_ports(0, 65535)},
            {"if": of_protocol(&["icmp", "1"]), "then": both_ports(-1, 255)},
            {"if": of_protocol(&["icmpv6", "58"]), "then": {"anyOf": [both_ports(-1, 255), no_ports()]}},
            {"if": {"not": of_protocol(&["tcp", "6", "udp", "17", "icmp", "1", "icmpv6", "58"])},
                "then": {"anyOf": [no_ports(), both_ports(-1, -1), both_ports(0, 0)]}},
        ],
    })
}

fn principal() -> Value {
    json!({
        "type": "object",
        "required": ["arn", "policy"],
        "additionalProperties": false,
        "properties": {
            "arn": text("^.", "ARN of a role or a user; * stands for any text"),
            "policy": choice(&["restore", "accept", "follow", "release"], "What happens after its changes"),
            "settle_seconds": seconds(SETTLE_SECONDS_MAX.into(), "How long its revokes settle; for follow only"),
        },
    })
}

fn reference() -> Value {
    json!({
        "type": "object",
        "description": "The source: a security group",
        "required": ["group_id"],
        "additionalProperties": false,
        "properties": {
            "group_id": text("^sg-[0-9a-f]+$", "The group's id"),
            "account_id": text("^[0-9]{12}$", "Its account, in quotes, if it is another's"),
        },
    })
}

fn text(pattern: &str, description: &str) -> Value {
    json!({"type": "string", "pattern": pattern, "description": description})
}

fn remark(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn choice(choices: &[&str], description: &str) -> Value {
    json!({"enum": choices, "description": description})
}

fn seconds(most: u16, description: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": most, "description": description})
}

fn port(description: &str) -> Value {
    json!({"type": "integer", "minimum": -1, "maximum": 65535, "description": description})
}

/// Protocols by name or number; the numbers as texts and as numbers.
fn of_protocol(names: &[&str]) -> Value {
    let numbers = names.iter().filter_map(|name| name.parse::<u8>().ok());
    let texts = names.iter().map(|name| Value::from(*name));
    let all: Vec<Value> = texts.chain(numbers.map(Value::from)).collect();
    json!({"properties": {"protocol": {"enum": all}}})
}

fn both_ports(from: i32, to: i32) -> Value {
    let port = json!({"minimum": from, "maximum": to});
    json!({"required": ["from_port", "to_port"], "properties": {"from_port": port, "to_port": port}})
}

fn no_ports() -> Value {
    json!({"properties": {"from_port": false, "to_port": false}})
}

#[cfg(test)]
mod tests;
