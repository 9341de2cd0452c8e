//! The table, and what it holds.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};

use crate::common::{ACCOUNT, REGION};
use crate::scene::{Scene, TABLE, said, text, unskipped};

#[tokio::test]
async fn a_table_that_is_missing() {
    let scene = Scene::with(|config| config.table = None).await;
    let found = "there is no such table";
    scene.only(
        1,
        "table rulekeeper: failed",
        found,
        "restore-table-from-backup --target-table-name rulekeeper",
    );
}

#[tokio::test]
async fn a_table_without_its_belts_and_braces_is_worth_a_warning() {
    let scene = Scene::with(|config| config.table = None).await;
    let mut create = scene
        .dynamodb
        .create_table()
        .table_name(TABLE)
        .billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        let definition = AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S);
        let schema = KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind);
        create = create
            .attribute_definitions(definition.build().expect("complete"))
            .key_schema(schema.build().expect("complete"));
    }
    create.send().await.expect("a table");
    scene.adjust(|estate| estate.backups = false);
    let all = scene.doctor(&[], 0);
    let expected = [
        format!("records {ACCOUNT}/{REGION}: warning"),
        "table_expiry rulekeeper: warning".to_owned(),
        "table_protection rulekeeper: warning".to_owned(),
        "table_recovery rulekeeper: warning".to_owned(),
    ];
    assert_eq!(unskipped(&all), expected, "{all:#?}");
    said(&all[&expected[0]], "no group is kept yet", "rulekeeper pin");
    said(
        &all[&expected[1]],
        "time to live is off",
        "update-time-to-live",
    );
    said(
        &all[&expected[2]],
        "deletes every record",
        "--deletion-protection-enabled",
    );
    said(
        &all[&expected[3]],
        "lost records cannot be restored",
        "update-continuous-backups",
    );
}

#[tokio::test]
async fn records_and_settings_that_cannot_be_read() {
    let scene = Scene::new().await;
    let wrong = format!("record {}: failed", scene.group);
    scene.write_record("mode", text("enfroce")).await;
    scene.only(1, &wrong, "mode: ", "rulekeeper apply");

    scene.write_record("mode", text("enforce")).await;
    scene
        .write_record("schema", AttributeValue::N("2".to_owned()))
        .await;
    scene.only(1, &wrong, "schema: 2 is not 1", "Update the function");

    scene
        .write_record("schema", AttributeValue::N("1".to_owned()))
        .await;
    scene.write_record("colour", text("red")).await;
    scene.only(
        0,
        &format!("record {}: warning", scene.group),
        "colour: ",
        "rulekeeper export",
    );

    let remove = scene
        .dynamodb
        .update_item()
        .table_name(TABLE)
        .update_expression("REMOVE colour");
    let pk = text(&format!("desired#{ACCOUNT}#{REGION}"));
    remove
        .key("pk", pk)
        .key("sk", text(&scene.group))
        .send()
        .await
        .expect("removed");
    scene
        .write_record("expires_at", AttributeValue::N("1".to_owned()))
        .await;
    scene.only(1, &wrong, "DynamoDB deletes items", "Take expires_at out");
    let remove = scene
        .dynamodb
        .update_item()
        .table_name(TABLE)
        .update_expression("REMOVE expires_at");
    let pk = text(&format!("desired#{ACCOUNT}#{REGION}"));
    let removed = remove.key("pk", pk).key("sk", text(&scene.group));
    removed.send().await.expect("removed");

    scene
        .write("settings", "settings", "principals", text("all"))
        .await;
    scene.only(
        1,
        "settings all groups: failed",
        "principals: ",
        "pk settings",
    );

    scene
        .write(
            "settings",
            "settings",
            "principals",
            AttributeValue::L(Vec::new()),
        )
        .await;
    scene
        .rulekeeper(&["pause", &scene.group, "--for", "1m", "--reason", "x"])
        .exits(0);
    assert!(scene.doctor(&[], 0).is_empty(), "a pause is no fault");

    let state = format!("state#{ACCOUNT}#{REGION}");
    scene
        .write(
            &state,
            "sg-0dead",
            "orphaned_at",
            text("2026-01-01T00:00:00Z"),
        )
        .await;
    scene.only(
        0,
        "orphaned sg-0dead: warning",
        "does not exist",
        "rulekeeper unpin sg-0dead",
    );
}
