//! The fields of a body, each taken by the route that knows it, and told in the API's own words when it is not right.
//!
//! Rule: `null` is as if the field was not given. What is said of a value never repeats it, since it may be a key in the
//! wrong place.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use crate::problem::Problem;

/// The largest whole number that is told apart from its neighbours when it is written with a fraction, as in `600.0`.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Characters of a field's name that are shown to its sender.
const NAME_SHOWN_MAX: usize = 40;

/// The fields of a body that nobody has taken yet.
#[derive(Debug)]
pub struct Fields {
    given: BTreeMap<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    /// A whole number that is not negative.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn whole(&mut self, name: &'static str) -> Result<Option<u64>, Problem> {
        self.take(name, "a whole number, 0 or more", |value| value.as_u64().or_else(|| whole(value.as_f64()?)))
    }

    /// A number.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn number(&mut self, name: &'static str) -> Result<Option<f64>, Problem> {
        self.take(name, "a number", Value::as_f64)
    }

    /// Yes or no.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Problem> {
        self.take(name, "true or false", Value::as_bool)
    }

    /// A text.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        self.take(name, "a text", |value| value.as_str().map(str::to_owned))
    }

    /// All were taken.
    ///
    /// # Errors
    /// When there is one more, which this route does not know.
    pub fn end(self) -> Result<(), Problem> {
        let Some(unknown) = self.given.keys().next() else { return Ok(()) };
        let shown: String = unknown.chars().take(NAME_SHOWN_MAX).collect();
        let known = self.known.join(", ");
        Err(Problem::bad_request(format!("{shown:?} is no field of this request. Its fields are {known}.")))
    }

    fn take<T>(
        &mut self,
        name: &'static str,
        form: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        self.known.push(name);
        match self.given.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let right = read(&value).map(Some);
                right.ok_or_else(|| Problem::bad_request(format!("{name} is not as it should be: {form}.")))
            }
        }
    }
}

/// What a field must have.
///
/// # Errors
/// When it was not given.
pub fn required<T>(name: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::bad_request(format!("{name} is missing.")))
}

/// A number that is written with a fraction of zero, or with an exponent, is a whole one, too.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it was seen to be whole, positive and small"
)]
fn whole(value: f64) -> Option<u64> {
    (value.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&value)).then_some(value as u64)
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Once)
    }
}

/// Reads each field once; JSON itself lets a name come twice, and readers differ in which one they take.
struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = Fields;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut given = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if given.insert(name, value).is_some() {
                return Err(A::Error::custom("a field is there twice"));
            }
        }
        Ok(Fields { given, known: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        serde_json::from_str(json).expect("an object")
    }

    #[test]
    fn whole_numbers_may_be_written_in_any_way() {
        for (written, whole) in [("3", 3), ("3.0", 3), ("3e2", 300), ("-0.0", 0), ("18446744073709551615", u64::MAX)] {
            assert_eq!(fields(&format!("{{\"n\": {written}}}")).whole("n"), Ok(Some(whole)), "{written}");
        }
        for wrong in ["-1", "0.5", "1e30", "18446744073709551616", "\"3\"", "[3]", "true"] {
            let problem = fields(&format!("{{\"n\": {wrong}}}")).whole("n").expect_err(wrong);
            assert_eq!(problem.detail, "n is not as it should be: a whole number, 0 or more.");
        }
    }

    #[test]
    fn null_is_as_if_it_was_not_given() {
        let mut fields = fields("{\"a\": null, \"b\": null}");
        assert_eq!((fields.whole("a"), fields.text("b"), fields.flag("c")), (Ok(None), Ok(None), Ok(None)));
        assert_eq!(fields.end(), Ok(()));
        assert!(required::<u64>("a", None).is_err());
    }

    #[test]
    fn an_unknown_field_is_told_with_the_known_ones_and_without_its_value() {
        let mut fields = fields("{\"ttl\": \"secret\", \"sessions\": 0}");
        assert_eq!(fields.whole("sessions"), Ok(Some(0)));
        assert_eq!(fields.number("cpu_percent"), Ok(None));
        let problem = fields.end().expect_err("it has one more");
        assert_eq!(problem.detail, "\"ttl\" is no field of this request. Its fields are sessions, cpu_percent.");
    }
}
