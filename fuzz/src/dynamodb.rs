//! DynamoDB's answers, through the SDK's own parser.

use rulekeeper::aws::keys::{desired_key, state_key};
use rulekeeper_core::decide::changes::GroupState;
use rulekeeper_core::fakes::{group, record, refused};
use rulekeeper_core::model::{GroupId, GroupRange};
use rulekeeper_core::ports::{NewGeneration, Table as _, WriteError};
use serde_json::{Map, Number, Value, json};

use crate::cloud::Answer;

/// An answer is used only if it is whole, and then it is what another reader finds in it and in what it left to another
/// call. A write is told as done only by such an answer.
pub(crate) fn check(input: &[u8]) {
    let Some(answer) = Answer::of(input, more) else {
        return;
    };
    let (group, range) = (group(), GroupRange::default());
    let scope = &group.scope;
    match answer.call {
        "load" => {
            let loaded = answer.used(async |_, table| table.load(&group).await);
            let Some(loaded) = loaded else { return };
            let Some(document) = document(&answer) else {
                return;
            };
            let answered = &document["Responses"]["t"];
            let left = list(&document["UnprocessedKeys"]["t"]["Keys"]);
            let tables = document["UnprocessedKeys"].as_object().map_or(0, Map::len);
            assert!(tables == 0 || tables == 1 && !document["UnprocessedKeys"]["t"].is_null());
            assert!(answered.is_array() || !left.is_empty(), "used, and empty");
            let mut items = list(answered);
            items.extend(left.into_iter().map(rest));
            let mut found = items.iter().map(plain).collect::<Vec<_>>();
            for (pk, sk, item) in [
                (desired_key(scope), group.id.as_str(), loaded.desired),
                (state_key(scope), group.id.as_str(), loaded.state),
                ("settings".to_owned(), "settings", loaded.settings),
            ] {
                let its = found.extract_if(.., |it| it["pk"] == *pk && it["sk"] == sk);
                assert_eq!(item, its.last(), "{pk}");
            }
            assert!(found.is_empty(), "passed over: {found:?}");
        }
        "page" => {
            let page = answer.used(async |_, table| table.desired_page(scope, &range).await);
            let Some(page) = page else { return };
            let Some(document) = document(&answer) else {
                return;
            };
            let items = list(&document["Items"]);
            let items: Vec<_> = items.iter().map(plain).collect();
            let found: Vec<_> = page.items.iter().map(|(_, item)| item.clone()).collect();
            assert_eq!(found, items);
            for (name, item) in page.items {
                assert_eq!(item["sk"], name);
            }
            let last = document["LastEvaluatedKey"].as_object();
            let last = last.filter(|key| !key.is_empty());
            let last = last.map(|key| untyped(&key["sk"]));
            assert_eq!(page.last.map(Value::from), last);
        }
        "marks" => {
            let marks = answer.used(async |_, table| table.marks(scope, &range).await);
            let Some(marks) = marks else { return };
            let Some(document) = document(&answer) else {
                return;
            };
            let mut items = list(&document["Items"]);
            let last = document["LastEvaluatedKey"].as_object();
            if last.is_some_and(|key| !key.is_empty()) {
                items.push(rest(json!({"sk": {"S": "sg-0c"}})));
            }
            for item in items.iter().map(plain) {
                let id = item["sk"]
                    .as_str()
                    .expect("an item of no group is passed over");
                let Ok(id) = id.parse::<GroupId>() else {
                    continue;
                };
                let marked = match item.get("orphaned_at") {
                    Some(_) => &marks.orphaned,
                    None => &marks.open,
                };
                assert!(marked.contains(&id), "{item} is passed over");
            }
        }
        "save" => {
            let saved = answer.used(async |_, table| {
                let saved = table.save_state(&group, &GroupState::default()).await?;
                saved
                    .then_some(())
                    .ok_or_else(|| refused("ConditionalCheckFailedException"))
            });
            saved.map(|()| document(&answer));
        }
        "write" => {
            let change = NewGeneration {
                address: group.clone(),
                record: record(&["tcp 443 from 10.0.0.0/8"]),
                replaces: None,
                state: GroupState::default(),
            };
            let conflict = String::from_utf8_lossy(input).contains("TransactionConflict");
            let changed = ["ConditionalCheckFailed", "TransactionConflict"][usize::from(conflict)];
            let written = answer.used(async |_, table| {
                let written = table.write(&change).await;
                written.map_err(|error| match error {
                    WriteError::Api(error) => error,
                    _ => refused(changed),
                })
            });
            written.map(|_| document(&answer));
        }
        _ => {}
    }
}

/// The answer to a request that goes on from the first one: a query's second page, or keys that were left to another call.
fn more(asked: &str) -> Option<String> {
    let asked: Value = serde_json::from_str(asked).ok()?;
    let keys = asked["RequestItems"]["t"]["Keys"].as_array();
    let more = match keys.filter(|keys| keys.len() < 3) {
        Some(keys) => {
            let items: Vec<Value> = keys.iter().cloned().map(rest).collect();
            json!({"Responses": {"t": items}})
        }
        None => {
            asked.get("ExclusiveStartKey")?;
            json!({"Items": [rest(json!({"sk": {"S": "sg-0c"}}))]})
        }
    };
    Some(more.to_string())
}

/// The item with this key in such an answer.
fn rest(mut key: Value) -> Value {
    key["rest"] = json!({"BOOL": true});
    key
}

/// The answer that was used, unless only the SDK reads it: it minds no fault in what it passes over.
fn document(answer: &Answer<'_>) -> Option<Value> {
    let read = serde_json::from_str(answer.text());
    let part = |error: &serde_json::Error| error.is_eof() || error.to_string().contains("trailing");
    assert!(
        !read.as_ref().is_err_and(part),
        "used, and not whole: {read:?}"
    );
    read.ok()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// An item without the types of its attributes.
fn plain(item: &Value) -> Value {
    let fields = item.as_object().expect("used, and no item");
    let fields = fields.iter().map(|(name, it)| (name.clone(), untyped(it)));
    fields.collect::<Map<_, _>>().into()
}

fn untyped(attribute: &Value) -> Value {
    let typed = attribute.as_object().expect("used, and no attribute");
    let mut given = typed.iter().filter(|(_, value)| !value.is_null());
    let (Some((kind, value)), None) = (given.next(), given.next()) else {
        panic!("used, and of no type: {attribute}")
    };
    let number = |text: &Value| {
        let digits = text.as_str().unwrap_or_default();
        digits
            .parse::<Number>()
            .map_or_else(|_| text.clone(), Value::Number)
    };
    let set = || {
        let mut set = list(value);
        set.sort_by_key(|it| it.as_str().unwrap_or_default().to_owned());
        set
    };
    match kind.as_str() {
        "S" | "BOOL" => value.clone(),
        "N" => number(value),
        "L" => list(value).iter().map(untyped).collect(),
        "M" => plain(value),
        "SS" => set().into(),
        "NS" => set().iter().map(number).collect(),
        "B" | "BS" => "(binary)".into(),
        "NULL" => Value::Null,
        _ => "(unknown)".into(),
    }
}
