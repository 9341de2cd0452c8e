//! One record in each wrapping, as the services' references show it.

use std::fs;

use rulekeeper_core::event::{Intent, intent};
use serde_json::json;

use super::*;

fn events(text: &str) -> Vec<Value> {
    let saved = parse("f.json", text).expect("JSON");
    saved.into_iter().map(|saved| saved.event).collect()
}

#[test]
fn events_are_found_however_they_were_saved() {
    let (a, b) = (json!({"eventName": "A"}), json!({"eventName": "B"}));
    let both = [a.clone(), b.clone()];
    assert_eq!(events(&a.to_string()), std::slice::from_ref(&a));
    assert_eq!(events(&json!(both).to_string()), both);
    assert_eq!(events(&json!({"Records": both}).to_string()), both);
    assert_eq!(events(&format!("{a}\n{b}\n")), both);
    assert_eq!(
        events(&format!("{}\n{}", json!({"Records": [a]}), json!([b]))),
        both
    );
    assert_eq!(events("[]"), Vec::<Value>::new());
    assert_eq!(events(r#"{"Records": 1}"#), [json!({"Records": 1})]);
}

fn wrapped(event: &Value) -> Vec<(&'static str, Value)> {
    let text = event.to_string();
    let queued = json!({"messageId": "m", "body": text, "eventSource": "aws:sqs"});
    vec![
        (
            "cloudtrail lookup-events",
            json!({"Events": [{"EventName": "x", "ReadOnly": "false", "Resources": [], "CloudTrailEvent": text}]}),
        ),
        (
            "logs filter-log-events",
            json!({"events": [{"logStreamName": "s", "timestamp": 1, "message": text}], "searchedLogStreams": []}),
        ),
        (
            "logs get-log-events",
            json!({"events": [{"message": text}], "nextForwardToken": "f/1"}),
        ),
        (
            "logs get-query-results",
            json!({"results": [[{"field": "@ptr", "value": "Cm"}, {"field": "@message", "value": text}]], "status": "Complete"}),
        ),
        (
            "an SNS message",
            json!({"Type": "Notification", "Subject": "x", "Message": text}),
        ),
        (
            "SNS to Lambda",
            json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": text}}]}),
        ),
        ("SQS to Lambda", json!({"Records": [queued]})),
        (
            "SNS to SQS",
            json!({"Messages": [{"MessageId": "m", "Body": json!({"Type": "Notification", "Message": text}).to_string()}]}),
        ),
        (
            "Lambda's record",
            json!({
                "version": "1.0", "requestContext": {"condition": "RetriesExhausted"}, "requestPayload": event,
                "responsePayload": {"sweep": {"groups": 1}, "errorMessage": text},
            }),
        ),
        ("a text of a text", json!(json!(text).to_string())),
    ]
}

#[test]
fn an_event_is_unpacked_from_what_services_hand_out() {
    let record = json!({"eventName": "RevokeSecurityGroupIngress", "requestParameters": {"x": {"detail": {}}}});
    let envelope = json!({"detail-type": "AWS API Call via CloudTrail", "detail": record});
    let request = json!({"sweep": {"account": "111122223333"}});
    for event in [record, envelope.clone(), request] {
        for (form, wrapped) in wrapped(&event) {
            assert_eq!(
                events(&wrapped.to_string()),
                std::slice::from_ref(&event),
                "{form}"
            );
        }
    }
    let mut texts = envelope.clone();
    texts["detail"] = envelope["detail"].to_string().into();
    assert_eq!(events(&texts.to_string()), [envelope], "a detail in text");
}

#[test]
fn published_records_come_out_of_every_wrapping_as_they_are() {
    let Some(dir) = std::env::var_os("RULEKEEPER_EVENTS_REAL").filter(|dir| !dir.is_empty()) else {
        return;
    };
    let files = fs::read_dir(dir)
        .expect("a folder")
        .map(|file| file.expect("a file").path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let mut records = 0;
    for file in files {
        let record: Value =
            serde_json::from_slice(&fs::read(&file).expect("a file")).expect("JSON");
        for (form, wrapped) in wrapped(&record) {
            assert_eq!(
                events(&wrapped.to_string()),
                std::slice::from_ref(&record),
                "{form} of {file:?}"
            );
        }
        records += 1;
    }
    assert!(records > 0, "the folder holds none");
}

#[test]
fn answers_in_logs_are_no_requests_and_what_was_cut_off_is_named() {
    let answer = json!({"sweep": {"converged": 1}, "reports": []}).to_string();
    let logs = json!({"events": [{"message": "START RequestId: 1"}, {"message": answer}]});
    assert_eq!(
        events(&logs.to_string()),
        std::slice::from_ref(&logs),
        "itself, which is no event"
    );
    assert!(!is_event(&logs));
    let cut = json!({"events": [{"message": "{\"eventName\": \"Revo"}, {"message": "{\"eventName\": \"B\"}"}]});
    assert_eq!(
        events(&cut.to_string()),
        [json!("{\"eventName\": \"Revo"), json!({"eventName": "B"})]
    );
}

/// A sample event as Athena's table of CloudTrail has it.
fn as_row(identity: &str) -> Value {
    let sample = include_str!("../../../events/revoke-by-permission.json");
    let sample: Value = serde_json::from_str(sample).expect("JSON");
    let fields = sample["detail"].as_object().expect("a record").iter();
    let mut row: Map<String, Value> = fields
        .map(|(name, value)| {
            let text = value.as_str().map_or(value.to_string(), str::to_owned);
            (name.to_lowercase(), text.into())
        })
        .collect();
    row.insert("errorcode".to_owned(), Value::Null);
    row.insert("useridentity".to_owned(), identity.into());
    Value::Object(row)
}

#[test]
fn a_row_of_athena_is_the_record() {
    let identity = "{type=AssumedRole, principalid=AROA:a=b,c, arn=arn:aws:sts::111122223333:assumed-role/tf/a=b,c, \
                    accountid=111122223333, invokedby=null, sessioncontext={attributes={mfaauthenticated=false, \
                    creationdate=x}, sessionissuer={type=Role, arn=arn:aws:iam::111122223333:role/ci/tf}}, username=}";
    let row = as_row(identity);
    let cells = |values: Vec<&Value>| {
        let cell = |value: &Value| match value {
            Value::Null => json!({}),
            value => json!({"VarCharValue": value}),
        };
        json!({"Data": values.into_iter().map(cell).collect::<Vec<_>>()})
    };
    let names: Vec<Value> = row
        .as_object()
        .expect("a map")
        .keys()
        .map(|name| json!(name))
        .collect();
    let columns: Vec<Value> = names.iter().map(|name| json!({"Name": name})).collect();
    let rows = [
        cells(names.iter().collect()),
        cells(row.as_object().expect("a map").values().collect()),
    ];
    let printed =
        json!({"ResultSet": {"Rows": rows, "ResultSetMetadata": {"ColumnInfo": columns}}});
    for form in [row, printed] {
        let found = events(&form.to_string());
        assert_eq!(found.len(), 1, "{found:?}");
        let Intent::Reconcile(lookup) = intent(&found[0]) else {
            panic!("{found:?}")
        };
        assert_eq!(lookup.evidence.revoked.len(), 1, "{lookup:?}");
        assert_eq!(
            (
                lookup.trigger.principal.as_deref(),
                lookup.trigger.session.as_deref()
            ),
            (Some("arn:aws:iam::111122223333:role/ci/tf"), Some("a=b,c"))
        );
        assert_eq!(lookup.scope.account.as_str(), "111122223333");
    }
    for unknown in ["", "null", "{type"] {
        let error = parse("f.json", &as_row(unknown).to_string()).expect_err(unknown);
        assert!(error.contains("has no useridentity"), "{error}");
    }
}

#[test]
fn an_event_of_several_is_named_with_its_number() {
    let saved = parse("f.json", "[1, 2]").expect("JSON");
    assert_eq!(saved[1].origin, "f.json, event 2");
    assert_eq!(parse("f.json", "1").expect("JSON")[0].origin, "f.json");
}

#[test]
fn a_syntax_error_names_its_file_and_line() {
    let error = parse("f.json", "{\"a\": 1}\n{\"b\": }\n").expect_err("no value");
    assert!(
        error.starts_with("f.json: ") && error.contains("line 2"),
        "{error}"
    );
}
