//! Spoils a text as people and programs do: values of the wrong kind, missing and repeated parts, names in the wrong place.
//!
//! Bytes changed by chance rarely leave a document that can be parsed, so documents are spoilt by their parts.

use std::ops::Range;

use fastrand::Rng;
use serde_json::{Value, json};

/// Texts that something else was expected for, and names that mean something somewhere.
const WORDS: &[&str] = &[
    "",
    "*",
    "-1",
    "0",
    "65536",
    "\u{0}",
    "\u{202e}",
    "true",
    "sg-",
    "sgr-0",
    "sg-0a",
    "pl-0a",
    "all",
    "tcp",
    "udp",
    "icmp",
    "icmpv6",
    "6",
    "50",
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/8",
    "10.0.0.0/33",
    "10.1.2.3/8",
    "::ffff:10.0.0.0/104",
    "tcp 443 from 10.0.0.0/8",
    "tcp 22 from 0.0.0.0/0",
    "9999-12-31T23:59:59Z",
    "-009999-01-02T01:59:59Z",
    "1969-12-31T23:59:59Z",
    "2016-12-31T23:59:60Z",
    "2026-11-22T09:30:00Z",
    "arn:aws:iam::",
    "arn:aws:iam::111122223333:role/*",
    "111122223333",
    "444455556666/sg-0a",
    "RevokeSecurityGroupIngress",
    "AuthorizeSecurityGroupIngress",
    "ModifySecurityGroupRules",
    "DeleteSecurityGroup",
    "UpdateSecurityGroupRuleDescriptionsIngress",
    "Client.InvalidGroup.NotFound",
    "Client.RequestLimitExceeded",
    "Client.InvalidPermission.Duplicate",
    "accept",
    "follow",
    "release",
    "restore",
    "observe",
    "paused_until",
    "prefix_list_id",
    "referenced_group",
    "cidr_ipv4",
    "from_port",
    "ipPermissions",
    "errorCode",
    "_return",
    "omitted",
    "Ref",
    "Fn::GetAtt",
    "Fn::Sub",
    "${A}",
    "&a",
    "*a",
    "!!str",
];

fn word(random: &mut Rng) -> &'static str {
    WORDS[random.usize(..WORDS.len())]
}

fn junk(random: &mut Rng) -> Value {
    match random.u8(..14) {
        0..6 => word(random).into(),
        6 => [json!(0), json!(-1), json!(65_536), json!(443)][random.usize(..4)].clone(),
        7 => {
            [json!(i64::MIN), json!(u64::MAX), json!(1e308), json!(0.5)][random.usize(..4)].clone()
        }
        8 => Value::Null,
        9 => random.bool().into(),
        10 => json!([]),
        11 => json!({}),
        12 => json!([[[[[{"items": [{"items": [null]}]}]]]]]),
        _ => match random.u8(..20) {
            0 => "x".repeat(5_000).into(),
            _ => random.char('\u{0}'..='\u{2ff}').to_string().into(),
        },
    }
}

/// A text with one to four of its parts spoilt. The same random numbers give the same text.
pub fn spoiled(text: &str, random: &mut Rng) -> String {
    let mut text = text.to_owned();
    let (head, mut document) = parse(&text);
    for _ in 0..random.u8(1..=4) {
        match &mut document {
            Some(document) => {
                let place = random.usize(..places(document));
                let other = random.usize(..places(document));
                let other = at(document, other).cloned().unwrap_or_default();
                spoil_at(document, place, other, random);
            }
            None => text = spoil_pieces(&text, random),
        }
    }
    match document {
        Some(document) => format!("{head}{document}"),
        None => text,
    }
}

/// The JSON document of a text, perhaps behind a first line that is none.
fn parse(text: &str) -> (String, Option<Value>) {
    if let Ok(document) = serde_json::from_str::<Value>(text) {
        return (String::new(), Some(document).filter(is_container));
    }
    let (head, body) = text.split_once('\n').unwrap_or_default();
    let document = serde_json::from_str(body).ok().filter(is_container);
    (format!("{head}\n"), document)
}

fn is_container(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// How many values a document holds, itself included.
fn places(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(places).sum(),
        Value::Object(fields) => fields.values().map(places).sum(),
        _ => 0,
    }
}

/// The value at a place, counted in the order of reading.
fn at(value: &mut Value, place: usize) -> Option<&mut Value> {
    let Some(mut left) = place.checked_sub(1) else {
        return Some(value);
    };
    let inner: Vec<&mut Value> = match value {
        Value::Array(list) => list.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => return None,
    };
    for value in inner {
        let within = places(value);
        if left < within {
            return at(value, left);
        }
        left -= within;
    }
    None
}

fn spoil_at(document: &mut Value, place: usize, other: Value, random: &mut Rng) {
    let Some(value) = at(document, place) else {
        return;
    };
    match (random.u8(..10), value) {
        (0..5, Value::Object(fields)) if !fields.is_empty() => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let name = names[random.usize(..names.len())].clone();
            match random.u8(..4) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert(word(random).to_owned(), junk(random))),
                2 => drop(fields.insert(name, other)),
                _ => {
                    let moved = fields.remove(&name).unwrap_or_default();
                    fields.insert(word(random).to_owned(), moved);
                }
            }
        }
        (0..5, Value::Array(list)) if !list.is_empty() => {
            let index = random.usize(..list.len());
            match random.u8(..4) {
                0 => drop(list.remove(index)),
                1 => list.push(list[index].clone()),
                2 => list.push(other),
                _ => list.swap(0, index),
            }
        }
        (5, value) => *value = json!({ "items": [value.take()] }),
        (6, value) => *value = json!([value.take()]),
        (7 | 8, value) => *value = other,
        (_, value) => *value = junk(random),
    }
}

/// Spoils what is no JSON by its lines, its tags or its words.
fn spoil_pieces(text: &str, random: &mut Rng) -> String {
    let starts: fn(char, char) -> bool = match (text.contains("</"), random.u8(..3)) {
        (true, 0..2) => |before, c| c == '<' || before == '>',
        (_, 0) => |before, _| before == '\n',
        _ => |before, c| before.is_alphanumeric() != c.is_alphanumeric(),
    };
    let mut pieces: Vec<&str> = Vec::new();
    let (mut begin, mut before) = (0, '\n');
    for (index, c) in text.char_indices() {
        if index > begin && starts(before, c) {
            pieces.push(&text[begin..index]);
            begin = index;
        }
        before = c;
    }
    pieces.push(&text[begin..]);
    let piece = random.usize(..pieces.len());
    let range = element(&pieces, piece);
    match random.u8(..8) {
        0 => drop(pieces.drain(range)),
        1 => {
            let copy: Vec<&str> = pieces[range.clone()].to_vec();
            pieces.splice(range.end..range.end, copy);
        }
        2 => {
            let copy: Vec<&str> = pieces[range].to_vec();
            let to = random.usize(..=pieces.len());
            pieces.splice(to..to, copy);
        }
        3 => {
            let other = random.usize(..pieces.len());
            pieces.swap(piece, other);
        }
        4 => pieces.truncate(piece),
        5 => pieces.insert(piece, word(random)),
        _ => pieces[piece] = word(random),
    }
    pieces.concat()
}

/// The pieces of the element that begins with this one; the piece alone if it begins none.
fn element(pieces: &[&str], piece: usize) -> Range<usize> {
    let is_tag = |text: &str| text.starts_with('<') && text.ends_with('>');
    let opens = |text: &str| is_tag(text) && !text.starts_with("</") && !text.ends_with("/>");
    let mut depth = 0_usize;
    for (index, text) in pieces.iter().enumerate().skip(piece) {
        if opens(text) {
            depth += 1;
        } else if is_tag(text) && text.starts_with("</") {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            return piece..index + 1;
        }
    }
    piece..piece + 1
}
