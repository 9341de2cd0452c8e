//! Identifiers in AWS's shapes, and a check of the shape.

/// A fresh id such as `sg-0a1b2c3d4e5f60718`: the prefix and 17 hexadecimal digits, which is the longer of EC2's two
/// forms. The first digit is zero, as in published ids.
pub(crate) fn resource(prefix: &str) -> String {
    let digits = fastrand::u64(..);
    format!("{prefix}-{digits:017x}")
}

/// A random (version 4) UUID, as request ids and CloudTrail event ids are.
pub(crate) fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Upper-case letters and digits after a prefix, as IAM's unique ids (`AIDA…`, `AROA…`, `ASIA…`) are; 20 characters in all.
pub(crate) fn iam(prefix: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut id = prefix.to_owned();
    while id.len() < 20 {
        id.push(char::from(LETTERS[fastrand::usize(..LETTERS.len())]));
    }
    id
}

/// Whether `id` has EC2's shape: the prefix, a dash, and 8 or 17 hexadecimal digits.
pub(crate) fn is_well_formed(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|digits| {
            matches!(digits.len(), 8 | 17)
                && digits
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
}

/// The partitions besides `aws`, by how the names of their Regions begin (`partitions.json` of AWS's SDKs).
const PARTITIONS: [(&str, &str); 7] = [
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
    ("eu-isoe-", "aws-iso-e"),
    ("eusc-", "aws-eusc"),
];

/// The partition of a Region.
pub(crate) fn partition(region: &str) -> &'static str {
    let known = PARTITIONS
        .iter()
        .find(|(start, _)| region.starts_with(start));
    known.map_or("aws", |(_, partition)| partition)
}

/// The ARN of a regional resource.
pub(crate) fn arn(service: &str, region: &str, account: &str, resource: &str) -> String {
    let partition = partition(region);
    format!("arn:{partition}:{service}:{region}:{account}:{resource}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_ids_are_well_formed_and_differ() {
        let (one, two) = (resource("sgr"), resource("sgr"));
        assert!(is_well_formed(&one, "sgr") && one.len() == 21, "{one}");
        assert_ne!(one, two);
    }

    #[test]
    fn malformed_ids_are_refused() {
        assert!(is_well_formed("sg-1a2b3c4d", "sg"));
        for id in [
            "sg-123",
            "sgr-1a2b3c4d",
            "sg-1A2B3C4D",
            "web",
            "sg-1a2b3c4d5",
            "",
        ] {
            assert!(!is_well_formed(id, "sg"), "{id}");
        }
    }
}
