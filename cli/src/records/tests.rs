//! What is read from files, and what comes back from what was written.

use serde_json::json;

use super::*;

const RECORD: &str = r#"
account: "012345678901"
region: eu-west-1
group: sg-0123456789abcdef0
generation: 7
mode: observe
note: "yes"
principals: [{arn: "arn:aws:iam::111122223333:role/terraform-*", policy: accept}]
rules:
  - {protocol: tcp, from_port: 443, to_port: 443, cidr_ipv4: 10.0.0.0/8, description: "443", priority: 10}
  - {protocol: "-1", cidr_ipv6: "2001:db8::/32", tags: {owner: "0x10", "on": "1e3"}}
  - {protocol: tcp, from_port: 1, to_port: 2, referenced_group: {group_id: sg-0a, account_id: "444455556666"}}
"#;

fn documents(text: &str) -> Vec<Value> {
    let records = from_yaml("f.yaml", text).expect("YAML");
    records.into_iter().map(|record| record.content).collect()
}

fn record(content: &Value) -> RecordFile {
    RecordFile::from_json(content, false).expect("a record")
}

#[test]
fn a_text_in_json_means_the_same_whatever_the_file_is_called() {
    for text in [
        "\"a\u{85}b\"",
        r#""\ud83d\ude00""#,
        "-0",
        "1e22",
        "{\"a\": [null]}",
    ] {
        let of_json = from_json("f", text).expect("JSON");
        assert_eq!(from_yaml("f", text), Ok(of_json), "{text:?}");
    }
}

#[test]
fn what_is_written_is_read_as_the_same_record() {
    let original = record(&documents(RECORD)[0]);
    let yaml = write_text(&original, FileFormat::Yaml).expect("YAML");
    assert_eq!(record(&documents(&yaml)[0]), original, "{yaml}");
    let json = write_text(&original, FileFormat::Json).expect("JSON");
    assert_eq!(
        record(&from_json("f.json", &json).expect("JSON")[0].content),
        original,
        "{json}"
    );
    assert_eq!(
        record(&documents(&json)[0]),
        original,
        "JSON is YAML: {json}"
    );
}

#[test]
fn yaml_holds_no_character_that_steers_a_terminal_and_is_the_same_record() {
    let mut content = documents(RECORD)[0].clone();
    content["note"] = "a\u{202e}b\u{85}c\u{2028}d\u{1b}e\u{e0041}\nf".into();
    let original = record(&content);
    for text in [
        write_text(&original, FileFormat::Yaml).expect("YAML"),
        new_text(&original).expect("YAML"),
    ] {
        let steers = text.chars().any(|c| c != '\n' && steering::is_steering(c));
        assert!(!steers, "{text:?}");
        let mut read = documents(&text)[0].clone();
        read["generation"] = 7.into();
        assert_eq!(record(&read), original, "{text}");
    }
}

#[test]
fn account_numbers_stay_texts_and_names_come_in_reading_order() {
    let yaml = write_text(&record(&documents(RECORD)[0]), FileFormat::Yaml).expect("YAML");
    assert!(
        yaml.starts_with("account: '012345678901'\nregion: eu-west-1\ngroup: sg-"),
        "{yaml}"
    );
    assert!(yaml.contains("account_id: '444455556666'"), "{yaml}");
    let first = yaml.find("priority: 10").expect("a priority");
    assert!(
        yaml[..first].contains("- protocol: tcp\n  from_port: 443\n  to_port: 443\n  cidr_ipv4"),
        "{yaml}"
    );
}

#[test]
fn several_documents_are_several_records_with_their_places() {
    let places = |text: &str| -> Vec<Option<usize>> {
        let records = from_yaml("f.yaml", text).expect("YAML").into_iter();
        let places = records.map(|record| record.source.position("a"));
        places.map(|place| place.map(|it| it.line)).collect()
    };
    assert_eq!(places("a: 1"), [Some(1)]);
    assert_eq!(places("---\na: 1\n---\na: 2\n"), [Some(2), Some(4)]);
    assert_eq!(
        places("a: 1\n---\n# nothing here\n---\na: 2\n"),
        [Some(1), Some(5)]
    );
    assert_eq!(
        from_yaml("f.yaml", "# nothing"),
        Err("f.yaml: holds no record".to_owned())
    );
}

#[test]
fn a_syntax_error_begins_with_its_file_line_and_column() {
    for (text, said) in [
        ("a: 1\nb: [1,\nc: }", "f.yaml:3:4: "),
        (
            "a: 1\n---\nb: 1\nb: 2\n",
            "f.yaml:4:1: \"b\" is given twice in this map",
        ),
        (
            "a:\n  - b: 1\n    c: 2\n    b: 3\n",
            "f.yaml:4:5: a[0]: \"b\" is given twice in this map",
        ),
        ("a:\n\t- 1", "f.yaml:2:1: "),
    ] {
        let error = from_yaml("f.yaml", text).expect_err(text);
        assert!(error.starts_with(said), "{error}");
    }
    assert_eq!(
        from_json("f.json", "{\n  \"a\": 1,\n}"),
        Err("f.json:3:1: trailing comma".to_owned())
    );
}

#[test]
fn a_record_that_names_no_account_and_region_gets_those_that_are_meant() {
    let meant: Scope = Scope {
        account: "111122223333".parse().expect("an account"),
        region: "eu-west-1".parse().expect("a Region"),
    };
    let mut records = from_yaml("f.yaml", "group: sg-0a\nrules: []").expect("YAML");
    assert!(place_in(&mut records, &meant));
    assert_eq!(record(&records[0].content).address.scope, meant);
    let mut records = from_yaml("f.yaml", RECORD).expect("YAML");
    assert!(!place_in(&mut records, &meant));
    assert_eq!(records[0].content["account"], "012345678901");
}

#[test]
fn an_account_that_yaml_reads_as_a_number_is_left_for_the_record_to_refuse() {
    assert_eq!(
        documents("account: 111122223333")[0],
        json!({"account": 111_122_223_333_u64})
    );
}

#[test]
fn text_is_read_as_editors_and_powershell_write_it() {
    let text = "{\"a\": \"é🦀\"}";
    let units = |bytes: fn(u16) -> [u8; 2]| {
        let marked = std::iter::once(0xfeff).chain(text.encode_utf16());
        marked.flat_map(bytes).collect::<Vec<u8>>()
    };
    for bytes in [
        text.as_bytes().to_vec(),
        format!("\u{feff}{text}").into_bytes(),
        units(u16::to_le_bytes),
        units(u16::to_be_bytes),
    ] {
        assert_eq!(unicode(bytes).as_deref(), Ok(text));
    }
    for bad in [&[0xff, 0xfe, b'a'][..], &[0xff, 0xfe, 0, 0xd8], &[0xc3]] {
        assert!(unicode(bad.to_vec()).is_err(), "{bad:?}");
    }
}
