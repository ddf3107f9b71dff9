//! Ids: any text is a name or it is not, and a name has one spelling, which is the documented one.

use std::fmt::Display;
use std::str::FromStr;

use jsonschema::Validator;
use pool_core::access;
use pool_core::ids::{BadId, InstanceId, LeaseId, Token};
use pool_core::time::Timestamp;
use pool_tests::contract::Contract;
use serde_json::Value;

use crate::choices::Choices;
use crate::mutate;
use crate::run::fuzz;

/// Inputs of an ordinary run.
const DRAWS: usize = 30_000;

const INSTANCE: &str = "i-0123456789abcdef0";
const KEY: &str = "00112233445566778899aabbccddeeff";

/// The text that an input means: a sound id made a little wrong, or pieces of ids put together.
fn text(bytes: &[u8]) -> String {
    const WHOLE: [&str; 4] =
        ["0.AbCdEfGhIjKl.17.i-0123456789abcdef0", "999999999.AbCdEfGhIj_-", INSTANCE, "i-01234567"];
    const PIECES: [&str; 12] = [
        "0",
        "1",
        ".",
        "..",
        "-",
        "i-",
        "AbCdEfGhIjKl",
        "999999999",
        "18446744073709551615",
        "+",
        "0123456789abcdef0",
        "v1.",
    ];
    let choices = &mut Choices::of(bytes);
    match choices.below(4) {
        0 => {
            let mut text = choices.pick(&WHOLE).to_owned();
            while !choices.are_over() {
                mutate::edit(&mut text, choices);
                text = text.chars().take(4_000).collect();
            }
            text
        }
        1 => {
            let mut text = String::new();
            while !choices.are_over() {
                text.push_str(choices.pick(&PIECES));
            }
            text
        }
        2 => mutate::text(choices),
        _ => String::from_utf8_lossy(choices.take(usize::MAX)).into_owned(),
    }
}

/// A text is an id only in the spelling in which the id prints.
fn one_spelling<T: FromStr<Err = BadId> + Display>(text: &str) -> bool {
    match text.parse::<T>() {
        Ok(id) => {
            assert_eq!(id.to_string(), text, "it was read from another spelling");
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

struct Documented {
    lease: Validator,
    instance: Validator,
}

impl Documented {
    fn read() -> Self {
        let contract = Contract::read();
        let schema = |name: &str| {
            let schema = &contract.document()["components"]["schemas"][name];
            jsonschema::validator_for(schema).expect("the schema is sound")
        };
        Self { lease: schema("LeaseId"), instance: schema("InstanceId") }
    }

    fn check(&self, text: &str) {
        let value = Value::from(text);
        let lease = one_spelling::<LeaseId>(text);
        assert_eq!(lease, self.lease.is_valid(&value), "{text:?} is a lease id, or is it?");
        let instance = one_spelling::<InstanceId>(text);
        assert_eq!(instance, self.instance.is_valid(&value), "{text:?} is an instance id, or is it?");
        one_spelling::<Token>(text);
    }
}

#[test]
fn any_text_is_an_id_in_one_spelling_or_none() {
    let documented = Documented::read();
    let instance: InstanceId = INSTANCE.parse().expect("a sound id");
    let sound = access::token(KEY, &instance, 7, Timestamp(100)).expect("there is a key");
    fuzz!("ids", DRAWS, |bytes: &[u8]| {
        let text = text(bytes);
        documented.check(&text);
        let mut forged = sound.clone();
        mutate::edit(&mut forged, &mut Choices::of(bytes));
        for token in [text.as_str(), &forged, &format!("v1.{text}")] {
            let opens = access::verify(token, KEY, &instance);
            assert_eq!(opens.is_some(), token == sound, "{token:?} opens the instance");
        }
    });
}
