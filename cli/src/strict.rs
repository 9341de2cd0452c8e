//! JSON values from JSON or YAML. A map that gives a name twice is refused; serde_json would take the last.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A value of JSON or YAML in which no map repeats a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Strict(pub Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map, a list, a text, a number, a boolean or nothing")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        let number = Number::from_f64(number)
            .ok_or_else(|| E::custom("infinity and NaN are no numbers here"))?;
        Ok(number.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = map.next_key_seed(NewName(&fields))? {
            let Strict(value) = map.next_value()?;
            fields.insert(name, value);
        }
        Ok(fields.into())
    }
}

/// A name that a map does not have yet. An error has the place of the name, as it comes while the name is read.
struct NewName<'a>(&'a Map<String, Value>);

impl<'de> DeserializeSeed<'de> for NewName<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewName<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<String, E> {
        match self.0.contains_key(name) {
            true => Err(E::custom(format_args!(
                "{name:?} is given twice in this map"
            ))),
            false => Ok(name.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_as_they_are() {
        let text = r#"{"a": [1, -1, 0.5, "x", true, null], "b": {"c": {}}}"#;
        let Strict(value) = serde_json::from_str(text).expect("JSON");
        assert_eq!(
            value,
            json!({"a": [1, -1, 0.5, "x", true, null], "b": {"c": {}}})
        );
        let Strict(value) =
            yaml_serde::from_str("a: [1, -1, 0.5, x, true, ~]\nb: {c: {}}").expect("YAML");
        assert_eq!(
            value,
            json!({"a": [1, -1, 0.5, "x", true, null], "b": {"c": {}}})
        );
    }

    #[test]
    fn a_name_given_twice_is_refused_with_its_line() {
        let error =
            serde_json::from_str::<Strict>("{\"mode\": 1,\n \"mode\": 2}").expect_err("twice");
        assert!(
            error.to_string().contains("\"mode\" is given twice") && error.line() == 2,
            "{error}"
        );
        let error = yaml_serde::from_str::<Strict>("a: 1\nmode: enforce\nmode: observe\n")
            .expect_err("twice");
        assert!(
            error.to_string().contains("\"mode\" is given twice"),
            "{error}"
        );
        assert_eq!(error.location().map(|at| at.line()), Some(3));
    }
}
