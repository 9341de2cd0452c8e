//! The attributes of the table's items and of record files, one list each. An attribute that is not listed is unknown.

/// Every attribute of a record's item.
pub const RECORD_ATTRIBUTES: [&str; 18] = [
    "pk",
    "sk",
    "schema",
    "generation",
    "mode",
    "paused_until",
    "pause_reason",
    "superseding",
    "principals",
    "settle_seconds",
    "cause_wait_seconds",
    "watch",
    "rules",
    "updated_at",
    "updated_by",
    "note",
    "reason",
    "name",
];

/// The table's TTL attribute. Incidents and old states have it; a record or the settings must not.
pub(super) const TTL_ATTRIBUTE: &str = "expires_at";

/// Whether an attribute stays when a new generation replaces its item: one that this version does not know, and that the
/// item may have.
pub fn stays(name: &str, known: &[&str]) -> bool {
    !known.contains(&name) && name != TTL_ATTRIBUTE
}

/// Every attribute of the settings item.
pub const SETTINGS_ATTRIBUTES: [&str; 12] = [
    "pk",
    "sk",
    "schema",
    "generation",
    "principals",
    "settle_seconds",
    "cause_wait_seconds",
    "paused_until",
    "pause_reason",
    "updated_at",
    "updated_by",
    "reason",
];

/// Every attribute of a listed principal.
pub const PRINCIPAL_ATTRIBUTES: [&str; 3] = ["arn", "policy", "settle_seconds"];

/// Every attribute of a rule.
pub const RULE_ATTRIBUTES: [&str; 10] = [
    "protocol",
    "from_port",
    "to_port",
    "cidr_ipv4",
    "cidr_ipv6",
    "prefix_list_id",
    "referenced_group",
    "description",
    "tags",
    "priority",
];

/// Every attribute of a reference to a group.
pub const REFERENCE_ATTRIBUTES: [&str; 2] = ["group_id", "account_id"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, Value, json};

    use super::*;
    use crate::desired::{DesiredRecord, SharedSettings};
    use crate::model::AccountId;

    fn names(item: &Map<String, Value>) -> BTreeSet<&str> {
        item.keys().map(String::as_str).collect()
    }

    fn but_for_keys<'a>(attributes: &[&'a str]) -> BTreeSet<&'a str> {
        let keys = ["pk", "sk"];
        let others = attributes.iter().filter(|name| !keys.contains(*name));
        others.copied().collect()
    }

    fn full() -> Value {
        json!({
            "schema": 1, "generation": 7, "mode": "observe", "paused_until": "2026-11-22T09:30:00Z",
            "pause_reason": "p", "superseding": "ignore", "settle_seconds": 5, "cause_wait_seconds": 60, "watch": true,
            "updated_at": "2026-11-22T09:30:00Z",
            "updated_by": "u", "note": "n", "reason": "r", "name": "web",
            "principals": [{"arn": "arn:aws:iam::111122223333:role/lbc", "policy": "follow", "settle_seconds": 4}],
            "rules": [
                {"protocol": "tcp", "from_port": 1, "to_port": 2, "cidr_ipv4": "10.0.0.0/8", "description": "d",
                    "tags": {"a": "b"}, "priority": 3},
                {"protocol": "tcp", "from_port": 1, "to_port": 2, "cidr_ipv6": "::/0"},
                {"protocol": "tcp", "from_port": 1, "to_port": 2, "prefix_list_id": "pl-0a"},
                {"protocol": "tcp", "from_port": 1, "to_port": 2, "referenced_group": {"group_id": "sg-0a"}},
            ],
        })
    }

    #[test]
    fn the_tables_list_what_is_written_and_nothing_else() {
        let owner: AccountId = "111122223333".parse().expect("an account");
        let reading = DesiredRecord::from_json(&full(), &owner).expect("understood");
        assert_eq!(reading.warnings, []);
        let item = reading.record.to_json();
        assert_eq!(names(&item), but_for_keys(&RECORD_ATTRIBUTES));
        let objects = |name: &str| item[name].as_array().expect("a list").iter().cloned();
        let rules: Vec<_> = objects("rules")
            .map(|rule| rule.as_object().cloned())
            .collect();
        let of_rules = rules.iter().flatten().flat_map(names);
        assert_eq!(
            of_rules.collect::<BTreeSet<_>>(),
            but_for_keys(&RULE_ATTRIBUTES)
        );
        let principals = item["principals"][0].as_object().expect("a principal");
        assert_eq!(names(principals), but_for_keys(&PRINCIPAL_ATTRIBUTES));
    }

    #[test]
    fn what_is_unknown_stays_but_not_a_time_to_be_deleted() {
        let staying = ["rules", "later", "expires_at"].map(|name| stays(name, &RECORD_ATTRIBUTES));
        assert_eq!(staying, [false, true, false]);
    }

    #[test]
    fn the_table_of_the_settings_lists_what_is_written() {
        let mut item = full();
        let fields = item.as_object_mut().expect("an object");
        fields.retain(|name, _| SETTINGS_ATTRIBUTES.contains(&name.as_str()));
        let (settings, _) = SharedSettings::from_json(&item).expect("understood");
        assert_eq!(
            names(&settings.to_json()),
            but_for_keys(&SETTINGS_ATTRIBUTES)
        );
    }
}
