//! Where in the text of a file an attribute stands. No parser tells it of what it has read, but each tells where it met an
//! error. So the text is read once more for each place, and what reads it fails there.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use rulekeeper_core::desired::attribute_path;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A line and a column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A document in a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The whole text.
    text: Arc<str>,
    /// How many documents stand before it.
    document: usize,
}

impl Source {
    /// A document of a text, counted from 0. JSON is read as the YAML that it nearly always is.
    pub fn new(text: Arc<str>, document: usize) -> Self {
        Self { text, document }
    }

    /// Where the attribute of a path such as `rules[2].from_port` stands: its name, or the beginning of an entry of a list.
    /// Of an attribute that is not there it is the beginning of what lacks it. `None` when that cannot be told.
    pub fn position(&self, path: &str) -> Option<Position> {
        let document = yaml_serde::Deserializer::from_str(&self.text).nth(self.document)?;
        let found = Cell::new(false);
        let seek = Seek {
            path,
            found: &found,
        };
        let error = seek.deserialize(document).err()?;
        // Another error is one of the text, and stands elsewhere.
        let location = error.location().filter(|_| found.get())?;
        Some(Position {
            line: location.line(),
            column: location.column(),
        })
    }
}

/// Reads a value and fails at the place of a path in it.
#[derive(Clone, Copy)]
struct Seek<'a> {
    path: &'a str,
    found: &'a Cell<bool>,
}

impl Seek<'_> {
    fn here<E: Error>(self) -> E {
        self.found.set(true);
        E::custom("here")
    }
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Err(self.here())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Err(self.here())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Err(self.here())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Err(self.here())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Err(self.here())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Err(self.here())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((index, rest)) = index_at(self.path) else {
            return Err(self.here());
        };
        for _ in 0..index {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Err(self.here());
            }
        }
        let seek = Seek { path: rest, ..self };
        match list.next_element_seed(seek)? {
            // What reads the entry fails, so there is none.
            Some(()) | None => Err(self.here()),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let path = self.path.strip_prefix('.').unwrap_or(self.path);
        if !path.is_empty() {
            while let Some(rest) = map.next_key_seed(Name { path, seek: self })? {
                match rest {
                    None => map.next_value::<IgnoredAny>().map(|_| ())?,
                    Some(rest) => map.next_value_seed(Seek { path: rest, ..self })?,
                }
            }
        }
        Err(self.here())
    }
}

/// Reads a name in a map: `None` if another is wanted, or what of the path lies below it. The name itself is the place if
/// nothing does.
struct Name<'a> {
    path: &'a str,
    seek: Seek<'a>,
}

impl<'de, 'a> DeserializeSeed<'de> for Name<'a> {
    type Value = Option<&'a str>;

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Option<&'a str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Option<&'a str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<&'a str>, E> {
        let rest = self.path.strip_prefix(&attribute_path("", name));
        match rest {
            Some("") => Err(self.seek.here()),
            Some(rest) if rest.starts_with(['.', '[']) => Ok(Some(rest)),
            _ => Ok(None),
        }
    }
}

/// The index at the beginning of a path such as `[2].from_port`, and the rest.
fn index_at(path: &str) -> Option<(usize, &str)> {
    let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, document: usize, path: &str) -> Option<(usize, usize)> {
        let position = Source::new(text.into(), document).position(path)?;
        Some((position.line, position.column))
    }

    const YAML: &str = "\
# a comment
group: sg-0a
rules:
  - {protocol: tcp, from_port: 1}
  - protocol: tcp
    tags:
      \"a.b\": 1
      c: é
    from_port: x
---
rules: [1,
  2]
";

    #[test]
    fn names_entries_and_what_lacks_something_have_their_places() {
        for (document, path, place) in [
            (0, "group", (2, 1)),
            (0, "account", (2, 1)),
            (0, "rules", (3, 1)),
            (0, "rules[0]", (4, 5)),
            (0, "rules[0].from_port", (4, 21)),
            (0, "rules[0].to_port", (4, 5)),
            (0, "rules[1]", (5, 5)),
            (0, "rules[1].tags.\"a.b\"", (7, 7)),
            (0, "rules[1].tags.c", (8, 7)),
            (0, "rules[1].from_port", (9, 5)),
            (0, "rules[1].from_port.x", (9, 16)),
            (0, "rules[7]", (4, 3)),
            (1, "rules[1]", (12, 3)),
        ] {
            assert_eq!(at(YAML, document, path), Some(place), "{document} {path}");
        }
        assert_eq!(at(YAML, 2, "rules"), None);
    }

    #[test]
    fn json_has_places_too_and_a_text_that_cannot_be_read_has_none() {
        let json = "{\n\t\"rules\": [\n\t\t{\"protocol\": \"tcp\", \"fromPort\": 1}\n\t]\n}";
        assert_eq!(at(json, 0, "rules[0].fromPort"), Some((3, 23)));
        assert_eq!(at("a: [", 0, "b"), None);
        assert_eq!(at("", 0, "b"), None);
    }
}
