//! Rule notation, as in logs, arguments and reports.

use rulekeeper_core::model::{Protocol, RuleKey, Source};

/// What is printed is read as the same, and printed the same again.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(rule) = text.parse::<RuleKey>() {
        let printed = rule.to_string();
        assert_eq!(printed.parse(), Ok(rule.clone()), "{text:?}");
        assert_eq!(printed.lines().count(), 1, "{text:?}");
        let parts = (rule.protocol.to_string(), rule.source.to_string());
        assert_eq!(parts.0.parse::<Protocol>(), Ok(rule.protocol), "{text:?}");
        assert_eq!(parts.1.parse::<Source>(), Ok(rule.source), "{text:?}");
        not_wider(text, &rule.protocol, &printed);
    }
}

/// Every number of the printed ports stands in the text: nothing is filled in but "all" for `icmp` alone.
fn not_wider(text: &str, protocol: &Protocol, printed: &str) {
    let numbers = |text: &str| -> Vec<i64> {
        let words = text.split(|c: char| !c.is_ascii_digit());
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let given = numbers(text);
    if let Some((from, to)) = protocol.ports()
        && (from, to) != (-1, -1)
    {
        for port in [from, to] {
            let given = port == -1 || given.contains(&port.into());
            assert!(given, "{text:?} is read as {printed}");
        }
    }
}
