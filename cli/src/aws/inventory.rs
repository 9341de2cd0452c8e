//! EC2's groups as operators ask for them: by id, VPC and tag. It describes groups, as the function's adapter does, and
//! calls nothing else.

use aws_sdk_ec2::types::Filter;

use crate::operator::{Inventory, Selection, TagChoice};
use rulekeeper::aws::{Ec2, FoundGroup, filter};
use rulekeeper_core::model::GroupId;
use rulekeeper_core::ports::{ApiError, GROUPS_PER_READ};

impl Inventory for Ec2 {
    async fn groups(&self, selection: &Selection) -> Result<Vec<FoundGroup>, ApiError> {
        let mut found = Vec::new();
        match selection {
            Selection::Named(ids) => {
                let ids: Vec<&str> = ids.iter().map(GroupId::as_str).collect();
                for ids in ids.chunks(GROUPS_PER_READ) {
                    let by_id = vec![filter("group-id", ids.iter().copied())];
                    found.extend(self.describe_groups(by_id).await?);
                }
            }
            Selection::Chosen { vpcs, tags } => {
                let mut filters: Vec<Filter> = tags.iter().filter_map(tag_filter).collect();
                if !vpcs.is_empty() {
                    filters.push(filter("vpc-id", vpcs.iter().map(String::as_str)));
                }
                found = self.describe_groups(filters).await?;
            }
        }
        found.retain(|group| selection.takes(group));
        found.sort_by(|a, b| a.id.cmp(&b.id));
        // A page may repeat what came while it was read.
        found.dedup_by(|a, b| a.id == b.id);
        Ok(found)
    }
}

/// A filter that lets through at least the groups with this tag. In a filter `*` and `?` stand for other texts and `\`
/// for itself only twice (EC2 API Reference, `Filter`), so a text with one of them is left for us to compare.
fn tag_filter(tag: &TagChoice) -> Option<Filter> {
    let is_plain = |text: &str| !text.contains(['*', '?', '\\']);
    match &tag.value {
        _ if !is_plain(&tag.key) => None,
        Some(value) if is_plain(value) => {
            Some(filter(&format!("tag:{}", tag.key), [value.as_str()]))
        }
        _ => Some(filter("tag-key", [tag.key.as_str()])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_stand_for_others_in_a_filter_are_not_put_into_one() {
        let filter = |tag: &str| {
            let tag: TagChoice = tag.parse().expect("a tag");
            let filter = tag_filter(&tag)?;
            Some((filter.name?, filter.values.unwrap_or_default()))
        };
        let made = |name: &str, value: &str| Some((name.to_owned(), vec![value.to_owned()]));
        assert_eq!(filter("env=prod"), made("tag:env", "prod"));
        assert_eq!(filter("env="), made("tag:env", ""));
        assert_eq!(filter("env"), made("tag-key", "env"));
        assert_eq!(filter("env=a*"), made("tag-key", "env"));
        assert_eq!(filter("env=a\\b"), made("tag-key", "env"));
        assert_eq!(filter("e?v=a"), None);
    }
}
