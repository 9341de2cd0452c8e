//! Tags: EC2's checks, and their form in answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Ec2Error, Params};

/// Most tags one resource may have (EC2 User Guide, "Tag restrictions").
const TAGS_MAX: usize = 50;
/// Longest key, in characters (same page).
const KEY_CHARS_MAX: usize = 128;
/// Longest value, in characters (same page).
const VALUE_CHARS_MAX: usize = 256;

/// The tags for the resources that a request makes, from `TagSpecification.N`.
pub(crate) fn on_create(
    params: &Params,
    resource_type: &str,
    refused_keys: &BTreeSet<String>,
) -> Result<BTreeMap<String, String>, Ec2Error> {
    let mut tags = BTreeMap::new();
    for specification in params.list("TagSpecification") {
        let kind = specification.text("ResourceType").unwrap_or_default();
        if kind != resource_type {
            return Err(Ec2Error::value(format!(
                "'{kind}' is not a valid taggable resource type for this operation."
            )));
        }
        for (key, value) in listed(specification)? {
            if tags.insert(key.clone(), value).is_some() {
                return Err(Ec2Error::value(format!(
                    "Duplicate tag key '{key}' specified."
                )));
            }
        }
    }
    check(&tags, refused_keys)?;
    Ok(tags)
}

/// The members of `Tag.N` as they were sent.
pub(crate) fn listed(params: &Params) -> Result<Vec<(String, String)>, Ec2Error> {
    params
        .list("Tag")
        .into_iter()
        .map(|tag| {
            let key = tag
                .text("Key")
                .ok_or_else(|| Ec2Error::value("Tag key cannot be empty."))?;
            Ok((
                key.to_owned(),
                tag.get("Value").unwrap_or_default().to_owned(),
            ))
        })
        .collect()
}

/// Checks lengths, number, reserved keys, and the tag policy that a dial sets.
pub(crate) fn check(
    tags: &BTreeMap<String, String>,
    refused_keys: &BTreeSet<String>,
) -> Result<(), Ec2Error> {
    if tags.len() > TAGS_MAX {
        return Err(Ec2Error::new(
            "TagLimitExceeded",
            "More than 50 tags specified",
        ));
    }
    for (key, value) in tags {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Ec2Error::value(
                "Tag keys starting with 'aws:' are reserved for internal use",
            ));
        }
        if key.chars().count() > KEY_CHARS_MAX {
            return Err(Ec2Error::new(
                "InvalidTagKey.Malformed",
                format!("Tag key exceeds the maximum length of {KEY_CHARS_MAX} characters"),
            ));
        }
        if value.chars().count() > VALUE_CHARS_MAX {
            return Err(Ec2Error::value(format!(
                "Tag value exceeds the maximum length of {VALUE_CHARS_MAX} characters"
            )));
        }
        if refused_keys.contains(key) {
            return Err(Ec2Error::new(
                "TagPolicyViolation",
                format!(
                    "The tag policy does not allow the specified value for the following tag key: '{key}'."
                ),
            ));
        }
    }
    Ok(())
}

/// Tags as a `tagSet`.
pub(crate) fn set(tags: &BTreeMap<String, String>) -> Value {
    tags.iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(key: &str, value: &str) -> Option<String> {
        let refused = BTreeSet::from(["forbidden".to_owned()]);
        let tags = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        check(&tags, &refused).err().map(|e| e.code)
    }

    #[test]
    fn tags_outside_the_limits_are_refused_with_ec2s_codes() {
        assert_eq!(code("team", "blue"), None);
        assert_eq!(code(&"k".repeat(128), &"v".repeat(256)), None);
        assert_eq!(
            code("aws:team", "blue").as_deref(),
            Some("InvalidParameterValue")
        );
        assert_eq!(
            code(&"k".repeat(129), "").as_deref(),
            Some("InvalidTagKey.Malformed")
        );
        assert_eq!(
            code("team", &"v".repeat(257)).as_deref(),
            Some("InvalidParameterValue")
        );
        assert_eq!(
            code("forbidden", "x").as_deref(),
            Some("TagPolicyViolation")
        );
        let many = (0..51).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(
            check(&many, &BTreeSet::new()).expect_err("51 tags").code,
            "TagLimitExceeded"
        );
    }
}
