//! Record files, as YAML and as JSON.

use rulekeeper_cli::records::{self, FileFormat};
use rulekeeper_cli::steering::is_steering;
use rulekeeper_core::desired::RecordFile;

/// What is read is written in both formats so that it is read as the same; a finding begins with the file's name.
pub(crate) fn check(input: &[u8]) {
    let text = match records::decode("f", input.to_vec()) {
        Ok(text) => text,
        Err(finding) => return names_file(&finding),
    };
    let of_json = records::read("f", true, &text);
    let of_yaml = records::read("f", false, &text);
    if let (Ok(one), Ok(other)) = (&of_json, &of_yaml) {
        assert_eq!(one, other, "the same text in JSON and in YAML");
    }
    for read in [of_json, of_yaml] {
        match read {
            Err(finding) => names_file(&finding),
            Ok(submitted) => {
                for submitted in submitted {
                    if let Ok(record) = RecordFile::from_json(&submitted.content, true) {
                        comes_back(&record);
                    }
                }
            }
        }
    }
}

fn names_file(finding: &str) {
    let rest = finding.strip_prefix("f:");
    assert!(
        rest.is_some_and(|rest| !rest.trim().is_empty()),
        "{finding:?}"
    );
}

fn comes_back(record: &RecordFile) {
    for format in [FileFormat::Yaml, FileFormat::Json] {
        let text = records::write_text(record, format).expect("it can be written");
        assert!(
            !text.chars().any(|c| c != '\n' && is_steering(c)),
            "{text:?}"
        );
        let read = records::read("f", format == FileFormat::Json, &text).expect("it can be read");
        let [submitted] = &read[..] else {
            panic!("{} documents were written: {text}", read.len());
        };
        let again = RecordFile::from_json(&submitted.content, true);
        assert_eq!(again.as_ref(), Ok(record), "{text}");
    }
}
