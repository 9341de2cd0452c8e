//! Filters and pages of the describe calls.

use serde_json::{Value, json};

use super::{Answer, Ec2Error, Params};

/// Most filter values in one call, and longest value (`apache/druid` PR 1954, `ansible-collections/amazon.aws` #2393).
const FILTER_VALUES_MAX: usize = 200;
const FILTER_VALUE_CHARS_MAX: usize = 255;

/// One filter: a name and values, one of which must match.
pub(crate) struct Filter {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
}

impl Filter {
    /// Whether a value matches; `*` and `?` are wildcards (EC2 User Guide, "List and filter your resources").
    pub(crate) fn matches(&self, value: &str) -> bool {
        self.values
            .iter()
            .any(|pattern| glob(pattern.as_bytes(), value.as_bytes()))
    }

    pub(crate) fn matches_tags(
        &self,
        tags: &std::collections::BTreeMap<String, String>,
    ) -> Option<bool> {
        if let Some(key) = self.name.strip_prefix("tag:") {
            return Some(tags.get(key).is_some_and(|value| self.matches(value)));
        }
        (self.name == "tag-key").then(|| tags.keys().any(|key| self.matches(key)))
    }

    fn unsupported(&self, action: &str) -> Ec2Error {
        Ec2Error::value(format!(
            "The filter '{}' is invalid (rulekeeper-local does not imitate it for {action})",
            self.name
        ))
    }
}

/// The filters of a call.
pub(crate) struct Filters(pub(crate) Vec<Filter>);

impl Filters {
    /// Whether an entry matches all filters. `fits` answers for one filter, or `None` for an unknown one.
    pub(crate) fn all(
        &self,
        action: &str,
        fits: impl Fn(&Filter) -> Option<bool>,
    ) -> Result<bool, Ec2Error> {
        let mut all = true;
        // Checks every filter even after a mismatch, so that an unknown one is always refused.
        for filter in &self.0 {
            all &= fits(filter).ok_or_else(|| filter.unsupported(action))?;
        }
        Ok(all)
    }
}

pub(crate) fn filters(params: &Params) -> Result<Filters, Ec2Error> {
    let filters: Vec<_> = params
        .list("Filter")
        .into_iter()
        .map(|filter| {
            let name = filter.require("Name", "Filter.Name")?.to_owned();
            Ok(Filter {
                name,
                values: filter.values("Value"),
            })
        })
        .collect::<Result<_, Ec2Error>>()?;
    let values: Vec<_> = filters.iter().flat_map(|filter| &filter.values).collect();
    if values.len() > FILTER_VALUES_MAX {
        return Err(Ec2Error::new(
            "FilterLimitExceeded",
            format!(
                "The maximum number of filter values specified on a single call is {FILTER_VALUES_MAX}"
            ),
        ));
    }
    if values
        .iter()
        .any(|value| value.chars().count() > FILTER_VALUE_CHARS_MAX)
    {
        return Err(Ec2Error::new(
            "FilterLimitExceeded",
            format!("The maximum length for a filter value is {FILTER_VALUE_CHARS_MAX} characters"),
        ));
    }
    Ok(Filters(filters))
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            glob(rest, text) || (!text.is_empty() && glob(pattern, &text[1..]))
        }
        ([b'?', rest @ ..], [_, tail @ ..]) => glob(rest, tail),
        ([p, rest @ ..], [t, tail @ ..]) => p == t && glob(rest, tail),
        _ => false,
    }
}

/// What a token begins with; the key of the page's last entry follows.
const TOKEN: &str = "rkl1";

/// Answers one page of `items` (key and entry, ordered by key), and a token if more follow.
///
/// `MaxResults` must be from `least` to `most`; without it the page has everything (EC2 API Reference). `page_limit` is a dial that makes pages shorter.
pub(crate) fn page(
    set: &str,
    items: Vec<(String, Value)>,
    params: &Params,
    (least, most): (i64, i64),
    page_limit: Option<usize>,
) -> Result<Answer, Ec2Error> {
    let asked = params.integer("MaxResults")?;
    if let Some(size) = asked.filter(|size| !(least..=most).contains(size)) {
        return Err(Ec2Error::value(format!(
            "Value ( {size} ) for parameter maxResults is invalid. Expecting a value between {least} and {most}."
        )));
    }
    let after = match params.text("NextToken") {
        None => None,
        Some(token) => Some(token.strip_prefix(TOKEN).ok_or_else(|| {
            Ec2Error::new(
                "InvalidNextToken",
                format!("The token '{token}' is invalid"),
            )
        })?),
    };
    let rest: Vec<_> = items
        .into_iter()
        .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after))
        .collect();
    let asked = asked.and_then(|size| usize::try_from(size).ok());
    let size = [asked, page_limit]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(rest.len());
    let mut answer = Answer::new();
    if let Some((last, _)) = rest.get(size.wrapping_sub(1)).filter(|_| rest.len() > size) {
        answer.insert("nextToken".into(), json!(format!("{TOKEN}{last}")));
    }
    answer.insert(
        set.to_owned(),
        rest.into_iter()
            .take(size)
            .map(|(_, entry)| entry)
            .collect(),
    );
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_in_ec2_filters() {
        assert!(glob(b"web-*", b"web-blue") && glob(b"w?b", b"web") && glob(b"*", b""));
        assert!(!glob(b"web", b"webs") && !glob(b"w?b", b"wb"));
    }

    #[test]
    fn pages_cover_everything_once() {
        let mut params = Params::from_pairs([("MaxResults", "5")]);
        let mut seen = Vec::new();
        loop {
            let items = (0..12).map(|n| (format!("{n:02}"), json!(n))).collect();
            let answer = page("set", items, &params, (5, 1000), None).expect("a page");
            seen.extend(answer["set"].as_array().cloned().unwrap_or_default());
            match answer.get("nextToken").and_then(Value::as_str) {
                Some(token) => params.set("NextToken", token.to_owned()),
                None => break,
            }
        }
        assert_eq!(seen, (0..12).map(|n| json!(n)).collect::<Vec<_>>());
    }
}
