//! The parameters of a query-protocol request (`IpPermissions.1.IpRanges.2.CidrIp=…`) as a tree.

use std::collections::BTreeMap;

use super::Ec2Error;

/// A node of the parameter tree, with an optional value and children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    value: Option<String>,
    children: BTreeMap<String, Params>,
}

impl Params {
    /// Parses an `application/x-www-form-urlencoded` body.
    #[must_use]
    pub fn parse(body: &str) -> Self {
        Self::from_pairs(form_urlencoded::parse(body.as_bytes()))
    }

    /// Builds a tree from dotted names and values, for calls made in process.
    #[must_use]
    pub fn from_pairs<N: AsRef<str>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut tree = Self::default();
        for (name, value) in pairs {
            tree.set(name.as_ref(), value.into());
        }
        tree
    }

    /// Sets the value at a dotted name and makes the nodes that are missing.
    pub fn set(&mut self, name: &str, value: String) {
        let node = name.split('.').fold(self, |node, part| {
            node.children.entry(part.to_owned()).or_default()
        });
        node.value = Some(value);
    }

    /// The value of a child; an empty one counts as given.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.children
            .get(name)
            .and_then(|node| node.value.as_deref())
    }

    /// The value of a child, unless it is absent or empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Params> {
        self.children.get(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.children.contains_key(name)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.children.keys().map(String::as_str).collect()
    }

    pub(crate) fn own(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// The members of a list child, ordered by their number.
    pub(crate) fn list(&self, name: &str) -> Vec<&Params> {
        let Some(node) = self.children.get(name) else {
            return Vec::new();
        };
        let mut members: Vec<_> = node
            .children
            .iter()
            .filter_map(|(key, child)| key.parse::<u32>().ok().map(|n| (n, child)))
            .collect();
        members.sort_by_key(|(n, _)| *n);
        members.into_iter().map(|(_, child)| child).collect()
    }

    /// The values of a list child, such as `GroupId.1`, `GroupId.2`.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        self.list(name)
            .into_iter()
            .filter_map(|node| node.value.clone())
            .collect()
    }

    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, Ec2Error> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            Ec2Error::value(format!(
                "Invalid value '{text}' for {name}. Not an integer."
            ))
        })
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Ec2Error> {
        match self.text(name) {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(Ec2Error::value(format!(
                "Invalid value '{text}' for {name}. Not a boolean."
            ))),
        }
    }

    pub(crate) fn require(&self, name: &str, said: &str) -> Result<&str, Ec2Error> {
        self.text(name).ok_or_else(|| Ec2Error::missing(said))
    }

    /// Refuses every child that is not listed, so that no parameter is ignored silently.
    ///
    /// `UnknownParameter` is EC2's code for a parameter that an action does not have.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Ec2Error> {
        const EVERYWHERE: [&str; 3] = ["Action", "Version", "DryRun"];
        match self
            .children
            .keys()
            .find(|name| !known.contains(&name.as_str()) && !EVERYWHERE.contains(&name.as_str()))
        {
            None => Ok(()),
            Some(name) => Err(Ec2Error::new(
                "UnknownParameter",
                format!(
                    "The parameter {name} is not recognized (rulekeeper-local does not imitate it here)"
                ),
            )),
        }
    }

    /// Whether any value in the tree equals `needle`.
    pub(crate) fn mentions(&self, needle: &str) -> bool {
        self.value.as_deref() == Some(needle)
            || self.children.values().any(|child| child.mentions(needle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back_in_numeric_order() {
        let params = Params::parse("G.10=c&G.2=b&G.1=a&Action=X");
        assert_eq!(params.values("G"), ["a", "b", "c"]);
    }

    #[test]
    fn escapes_and_plus_are_undone() {
        let params = Params::parse("&A=10.0.0.0%2F8+x%zz%C3%A9&B");
        assert_eq!(params.get("A"), Some("10.0.0.0/8 x%zzé"));
        assert_eq!(params.get("B"), Some(""));
    }

    #[test]
    fn unknown_parameters_are_refused_by_name() {
        let refusal = Params::parse("Action=X&Bogus=1")
            .only(&["GroupId"])
            .expect_err("Bogus is not known");
        assert_eq!(refusal.code, "UnknownParameter");
        assert!(refusal.message.contains("Bogus"));
    }
}
