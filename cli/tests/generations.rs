//! Writing generations, against two DynamoDBs that are not ours: moto's, and the one inside the local stack.
//!
//! Whatever somebody wrote between the read and the write stays, whether or not they counted the generation on, and
//! whatever is replaced is in the history as it was.

#[path = "../../tests/support/moto.rs"]
mod moto;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue as Attribute;
use jiff::Timestamp;
use moto::{ACCOUNT, MotoTable, moto, rule_json, sdk_config};
use rulekeeper::aws::{Clients, DynamoTable};
use rulekeeper_cli::operator;
use rulekeeper_cli::operator::{Archive as _, Author, Draft, OperatorError, PrincipalChange};
use rulekeeper_core::desired::{Policy, Principal};
use rulekeeper_core::model::GroupAddress;
use rulekeeper_core::ports::{Budget, Calls, Table as _, WriteError};
use rulekeeper_local::{Stack, StackConfig};
use serde_json::json;

const WEB: &str = "tcp 443 from 10.0.0.0/8";
const OLD: &str = "tcp 80 from 10.0.0.0/8";
const REGION: &str = "eu-west-1";

/// A DynamoDB with an empty table.
struct Engine {
    name: &'static str,
    raw: MotoTable,
    table: DynamoTable,
    _stack: Option<Stack>,
}

impl Engine {
    fn new(name: &'static str, endpoint: &str, raw: MotoTable, stack: Option<Stack>) -> Self {
        let clients = Clients::new(sdk_config(endpoint, REGION), raw.name.clone(), None);
        let budget = Budget::of(Duration::from_secs(60));
        Self {
            name,
            table: clients.table(&Calls::default(), budget),
            raw,
            _stack: stack,
        }
    }

    async fn both() -> [Self; 2] {
        let of_moto = Self::new("moto", moto(), MotoTable::create().await, None);
        let config = StackConfig {
            region: REGION.to_owned(),
            table: Some("rulekeeper".to_owned()),
            ..StackConfig::default()
        };
        let stack = Stack::start(config).expect("loopback ports are to be had");
        let endpoint = stack.endpoint();
        let raw = MotoTable {
            client: aws_sdk_dynamodb::Client::new(&sdk_config(&endpoint, REGION)),
            name: "rulekeeper".to_owned(),
        };
        [
            of_moto,
            Self::new("the local stack", &endpoint, raw, Some(stack)),
        ]
    }

    async fn record(&self, group: &GroupAddress) {
        let record = json!({
            "schema": 1, "generation": 3, "mode": "enforce", "rules": [rule_json(WEB), rule_json(OLD)],
            "note": "by hand", "mine": {"deep": [1, {"er": null}]},
        });
        self.raw
            .put_desired(ACCOUNT, group.id.as_str(), &record)
            .await;
    }

    /// Changes the present record past all of our code.
    async fn edit(&self, group: &GroupAddress, expression: &str, value: Option<Attribute>) {
        let update = self
            .raw
            .client
            .update_item()
            .table_name(&self.raw.name)
            .key("pk", Attribute::S(format!("desired#{ACCOUNT}#{REGION}")))
            .key("sk", Attribute::S(group.id.to_string()))
            .update_expression(expression.replace("rules", "#rules"))
            .set_expression_attribute_names(
                expression
                    .contains("rules")
                    .then(|| HashMap::from([("#rules".to_owned(), "rules".to_owned())])),
            )
            .set_expression_attribute_values(
                value.map(|value| HashMap::from([(":value".to_owned(), value)])),
            );
        update.send().await.expect("an edit");
    }

    async fn history(&self, group: &GroupAddress) -> Vec<HashMap<String, Attribute>> {
        self.raw
            .items(&format!("history#{ACCOUNT}#{REGION}#{}", group.id))
            .await
    }
}

fn group(number: usize) -> GroupAddress {
    let id = format!("sg-{number:017x}");
    let scope = rulekeeper_core::model::Scope {
        account: ACCOUNT.parse().expect("an account"),
        region: REGION.parse().expect("a Region"),
    };
    GroupAddress {
        scope,
        id: id.parse().expect("a group id"),
    }
}

fn author() -> Author {
    Author {
        arn: "arn:aws:iam::111122223333:user/maria".to_owned(),
        now: Timestamp::UNIX_EPOCH,
    }
}

async fn release(engine: &Engine, group: &GroupAddress) -> Draft {
    let rules = [OLD.parse().expect("rule notation")];
    let draft = operator::release(&engine.table, group, &rules, None).await;
    draft.expect("a record")
}

#[tokio::test]
async fn an_edit_by_hand_between_read_and_write_is_never_overwritten() {
    let text = |text: &str| Some(Attribute::S(text.to_owned()));
    let edits = [
        ("SET note = :value", text("mine")),
        (
            "SET pause_reason = :value",
            text("a known attribute that comes"),
        ),
        ("REMOVE note", None),
        ("SET rules[0].description = :value", text("nested")),
        ("REMOVE rules[1]", None),
        (
            "SET mine.deep[0] = :value",
            Some(Attribute::N("2".to_owned())),
        ),
        ("REMOVE mine", None),
        (
            "SET generation = :value",
            Some(Attribute::N("4".to_owned())),
        ),
    ];
    for engine in Engine::both().await {
        for (number, (expression, value)) in edits.iter().enumerate() {
            let at = group(number);
            engine.record(&at).await;
            let draft = release(&engine, &at).await;
            let unpinning = operator::unpin(&engine.table, &at, None).await;
            engine.edit(&at, expression, value.clone()).await;
            let edited = engine.table.load(&at).await.expect("a table").desired;
            let case = format!("{expression} in {}", engine.name);
            let written = draft.write(&engine.table, &author()).await;
            assert!(
                matches!(
                    written,
                    Err(OperatorError::Write(WriteError::LostRace { .. }))
                ),
                "{case}: {written:?}"
            );
            let unpinned = unpinning.expect("a record");
            let unpinned = unpinned.write(&engine.table, &author()).await;
            assert!(
                matches!(
                    unpinned,
                    Err(OperatorError::Write(WriteError::LostRace { .. }))
                ),
                "{case}: {unpinned:?}"
            );
            let after = engine.table.load(&at).await.expect("a table");
            assert_eq!(after.desired, edited, "{case}");
            assert_eq!(
                (after.state, engine.history(&at).await),
                (None, Vec::new()),
                "{case}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_unknown_stays_and_goes_into_history_as_it_was_whatever_its_type() {
    let kinds = [
        (
            "SET mine = :value",
            Attribute::Ss(vec!["b".to_owned(), "a".to_owned()]),
        ),
        (
            "SET mine = :value",
            Attribute::Ns(vec!["1".to_owned(), "2.5".to_owned()]),
        ),
        (
            "SET mine = :value",
            Attribute::N("123456789012345678901234567890.5".to_owned()),
        ),
        (
            "SET mine = :value",
            Attribute::B(aws_sdk_dynamodb::primitives::Blob::new([1, 2])),
        ),
        ("SET mine = :value", Attribute::Null(true)),
        (
            "SET mine = :value",
            Attribute::L(vec![Attribute::Bool(false)]),
        ),
    ];
    for engine in Engine::both().await {
        for (number, (expression, value)) in kinds.iter().enumerate() {
            let at = group(number);
            engine.record(&at).await;
            engine.edit(&at, expression, Some(value.clone())).await;
            let draft = release(&engine, &at).await;
            let case = format!("{value:?} in {}", engine.name);
            let written = draft.write(&engine.table, &author()).await;
            assert_eq!(written.expect(&case).generation, 4, "{case}");
            let history = engine.history(&at).await;
            let now = engine
                .raw
                .items(&format!("desired#{ACCOUNT}#{REGION}"))
                .await;
            let now = now
                .iter()
                .find(|item| item["sk"] == Attribute::S(at.id.to_string()));
            let sorted = |value: &Attribute| match value {
                Attribute::Ss(texts) | Attribute::Ns(texts) => {
                    let mut texts = texts.clone();
                    texts.sort();
                    Attribute::Ss(texts)
                }
                other => other.clone(),
            };
            for item in [Some(&history[0]), now] {
                let kept = item
                    .and_then(|item| item.get("mine"))
                    .expect("the attribute");
                assert_eq!(sorted(kept), sorted(value), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_record_that_comes_where_none_was_is_not_overwritten() {
    for engine in Engine::both().await {
        let at = group(0);
        let file = operator::Submitted {
            file: "f.json".to_owned(),
            content: json!({"account": ACCOUNT, "region": REGION, "group": at.id, "rules": [rule_json(WEB)]}),
            ..operator::Submitted::default()
        };
        let author = author();
        let files = [file];
        let options = operator::ApplyOptions::default();
        let apply = async || {
            let planned = operator::plan_apply(&engine.table, &files, &options, &|_, _| {}).await?;
            planned.write(&engine.table, &author, &|_, _| {}).await
        };
        let (one, other) = tokio::join!(apply(), apply());
        let won = [&one, &other].iter().filter(|it| it.is_ok()).count();
        // Either they met, or the second found what it wanted to write.
        let generations = engine.table.load(&at).await.expect("a table").desired;
        assert_eq!(
            generations.map(|item| item["generation"].clone()),
            Some(json!(1))
        );
        assert!(won >= 1, "{}: {one:?} {other:?}", engine.name);
        for lost in [one, other].into_iter().filter_map(Result::err) {
            assert!(matches!(lost, OperatorError::Write(_)), "{lost}");
        }
        assert_eq!(engine.history(&at).await, Vec::new());
    }
}

#[tokio::test]
async fn an_unpinned_record_and_the_note_of_it_are_in_history_and_numbers_are_never_used_twice() {
    for engine in Engine::both().await {
        let at = group(0);
        engine.record(&at).await;
        // Somebody used the number before.
        let history = format!("history#{ACCOUNT}#{REGION}#{}", at.id);
        let taken = json!({"note": "mine"});
        engine.raw.put(&history, "000000000004", &taken).await;
        let unpinning = operator::unpin(&engine.table, &at, Some("gone")).await;
        let unpinning = unpinning.expect("a record");
        let written = unpinning.write(&engine.table, &author()).await;
        assert_eq!(written.expect("written").generation, 6, "{}", engine.name);
        let loaded = engine.table.load(&at).await.expect("a table");
        assert_eq!(loaded.desired, None);
        assert!(
            loaded
                .state
                .is_some_and(|state| state["decided"][WEB].is_string())
        );
        let history = engine.table.history(&at).await.expect("a history");
        let numbers: Vec<u64> = history.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [4, 5, 6], "{}", engine.name);
        assert_eq!(history[0].1["note"], "mine");
        assert_eq!(
            history[1].1["generation"], 3,
            "the record, under the next free number"
        );
        let said = &history[2].1;
        assert_eq!(
            (
                &said["unpinned"],
                &said["reason"],
                &said["generation"],
                &said["rules"]
            ),
            (
                &json!(true),
                &json!("unpinned: gone"),
                &json!(6),
                &json!([])
            )
        );
    }
}

#[tokio::test]
async fn settings_are_written_on_condition_of_what_was_read_and_leave_their_trace() {
    let add = |arn: &str| PrincipalChange::Add {
        principal: Principal {
            arn: arn.to_owned(),
            policy: Policy::Follow,
            settle_seconds: None,
        },
        first: false,
    };
    for engine in Engine::both().await {
        let table = &engine.table;
        let draft = async |arn: &str| {
            let draft = operator::change_principals(table, None, &add(arn), false, None).await;
            draft.expect("a draft")
        };
        let (first, late) = (draft("*a").await, draft("*b").await);
        assert_eq!(
            first.write(table, &author()).await.expect("1").generation,
            1
        );
        let lost = late.write(table, &author()).await;
        assert!(
            matches!(lost, Err(OperatorError::SettingsChanged)),
            "{lost:?}"
        );

        let late = draft("*b").await;
        let by_hand = engine
            .raw
            .client
            .update_item()
            .table_name(&engine.raw.name)
            .key("pk", Attribute::S("settings".to_owned()))
            .key("sk", Attribute::S("settings".to_owned()))
            .update_expression("SET settle_seconds = :value, mine = :value")
            .expression_attribute_values(":value", Attribute::N("7".to_owned()));
        by_hand.send().await.expect("an edit");
        let lost = late.write(table, &author()).await;
        assert!(
            matches!(lost, Err(OperatorError::SettingsChanged)),
            "{lost:?}"
        );
        assert_eq!(table.settings_history().await, Ok(Vec::new()));

        let second = draft("*b").await.write(table, &author()).await.expect("2");
        assert_eq!((second.generation, second.principals.len()), (2, 2));
        let history = table.settings_history().await.expect("a history");
        assert_eq!((history.len(), history[0].0), (1, 1));
        assert_eq!(history[0].1["settle_seconds"], 7, "as it was replaced");
        let now = table.settings().await.expect("a table").expect("an item");
        assert_eq!(
            (&now["settle_seconds"], &now["mine"], &now["generation"]),
            (&json!(7), &json!(7), &json!(2))
        );
    }
}

#[tokio::test]
async fn a_history_of_many_pages_is_read_to_its_end() {
    for engine in Engine::both().await {
        let at = group(0);
        engine.record(&at).await;
        let key = format!("history#{ACCOUNT}#{REGION}#{}", at.id);
        // A page ends at 1 MB.
        for number in 1..=12_u64 {
            let generation = json!({"rules": [], "note": "x".repeat(200_000)});
            engine
                .raw
                .put(&key, &format!("{number:012}"), &generation)
                .await;
        }
        let page = engine.raw.items(&key).await.len();
        assert!(page < 12, "{} pages: {page} came at once", engine.name);
        let history = operator::history(&engine.table, &at)
            .await
            .expect("a history");
        assert_eq!(history.generations.len(), 13, "{}", engine.name);
    }
}
