//! The template's policy against what the adapters can call.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The operations that an adapter names; each names them once, as a constant beside the call.
fn operations(path: &str, service: &str) -> BTreeSet<String> {
    let text = source(path);
    let named = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("const OPERATION: &str = \""));
    named
        .map(|rest| format!("{service}:{}", rest.trim_end_matches("\";")))
        .collect()
}

/// Every action that the template allows, in order: values of `Action`, on its line or in the list below it.
fn allowed() -> Vec<String> {
    let text = source("template.yaml");
    let is_action = |word: &str| {
        let (service, action) = word.split_once(':').unwrap_or_default();
        let service_is_a_name = !service.is_empty()
            && service
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'*');
        service_is_a_name
            && action.starts_with(|c: char| c.is_ascii_uppercase() || c == '*')
            && action
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'*')
    };
    let word = |line: &str| {
        let line = line.trim().trim_start_matches("- ");
        line.strip_prefix("Action:")
            .unwrap_or(line)
            .trim()
            .trim_matches(['"', '\''])
            .to_owned()
    };
    text.lines()
        .map(word)
        .filter(|word| is_action(word))
        .collect()
}

#[test]
fn the_policy_allows_exactly_what_the_adapters_call() {
    let allowed: BTreeSet<String> = allowed().into_iter().collect();
    let of_service = |service: &str| -> BTreeSet<String> {
        allowed
            .iter()
            .filter(|action| action.starts_with(service))
            .cloned()
            .collect()
    };
    let mut ec2 = operations("src/aws/ec2.rs", "ec2");
    assert!(ec2.contains("ec2:AuthorizeSecurityGroupIngress"), "{ec2:?}");
    // Tags are set by the authorize itself, which IAM checks as an action of its own.
    ec2.insert("ec2:CreateTags".to_owned());
    assert_eq!(of_service("ec2:"), ec2);

    let mut dynamodb = operations("src/aws/dynamodb.rs", "dynamodb");
    // A transaction is allowed by the actions that it is made of.
    assert!(
        dynamodb.remove("dynamodb:TransactWriteItems"),
        "{dynamodb:?}"
    );
    assert_eq!(of_service("dynamodb:"), dynamodb);
}

#[test]
fn no_action_can_take_a_rule_away_and_none_is_a_wildcard() {
    let allowed = allowed();
    assert!(allowed.len() > 10, "{allowed:?}");
    for action in allowed {
        assert!(!action.contains('*'), "{action}");
        for verb in [
            "Revoke",
            "Modify",
            "Delete",
            "Update",
            "Detach",
            "Disassociate",
        ] {
            let taken = action.starts_with("ec2:") && action.contains(verb);
            assert!(!taken, "{action}");
        }
    }
}

#[test]
fn the_adapter_calls_nothing_that_takes_a_rule_away() {
    let adapter = source("src/aws/ec2.rs");
    for call in ["revoke_", "modify_", "delete_", "update_", "disassociate_"] {
        assert!(!adapter.contains(&format!(".{call}")), "{call}");
    }
}

#[test]
fn the_function_may_write_records_incidents_and_state_and_no_settings() {
    let template = source("template.yaml");
    let condition =
        "dynamodb:LeadingKeys: [\"desired#*\", \"history#*\", \"incident#*\", \"state#*\"]";
    assert_eq!(template.matches(condition).count(), 1);
    let statement = template
        .split("Sid: WriteRecordsIncidentsAndState")
        .nth(1)
        .expect("the statement is there");
    let statement = statement.split("Sid:").next().expect("it ends");
    for action in ["dynamodb:PutItem", "dynamodb:UpdateItem"] {
        assert!(statement.contains(action), "{action} is allowed elsewhere");
        assert_eq!(
            template.matches(action).count(),
            1,
            "{action} is allowed once"
        );
    }
    assert!(statement.contains(condition));
}
