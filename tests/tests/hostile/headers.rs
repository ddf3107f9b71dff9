//! Headers and user ids: a key is accepted exactly if it is as documented, and names one lease of one owner; everything
//! else in a header is ignored or refused.

use pool_core::ids::{LeaseId, Owner, Token};
use pool_tests::{Request, Route};
use serde_json::{Value, json};

use crate::bed::{ANN, Bed};
use crate::choices::Choices;
use crate::mutate;
use crate::run::fuzz;

/// Inputs of an ordinary run.
const DRAWS: usize = 600;

/// The longest key that is documented.
const KEY_MAX: usize = 255;

struct Target {
    bed: Bed,
    /// What the file says of a key.
    pattern: jsonschema::Validator,
}

impl Target {
    fn new() -> Self {
        let bed = Bed::new(false);
        let schema = &bed.contract.document()["components"]["parameters"]["IdempotencyKey"]["schema"];
        let pattern = jsonschema::validator_for(schema).expect("the schema is sound");
        Self { bed, pattern }
    }

    fn take(&self, bytes: &[u8]) {
        let choices = &mut Choices::of(bytes);
        match choices.below(4) {
            0 | 1 => self.key(choices),
            2 => self.others(choices),
            _ => self.user(choices),
        }
        self.bed.restore();
    }

    fn send(&self, request: &Request) -> Option<pool_tests::Answer> {
        self.bed.send(&self.bed.bench.environment, request.route, request.event.to_string().as_bytes())
    }

    /// A key, alone or among other headers that are out of place.
    fn key(&self, choices: &mut Choices<'_>) {
        let key = header(choices, &["job-4711", "a b", "~", "wait=20"]);
        let request = Request::new(Route::Acquire).by(ANN).json(&json!({})).header("idempotency-key", &key);
        // A header that no HTTP can carry is one that the event cannot be read with.
        let Some(answer) = self.send(&request) else { return };
        // Spaces around a value are not part of it, which whoever reads HTTP takes off.
        let trimmed = key.trim_matches([' ', '\t']);
        if self.pattern.is_valid(&Value::from(trimmed)) {
            assert!(trimmed.len() <= KEY_MAX);
            assert_eq!(answer.status, 201, "{key:?}: {answer:?}");
            let id: LeaseId = answer.text("lease_id").parse().expect("a lease id");
            assert_eq!(id.token, Token::of_key(&Owner::of(ANN), trimmed));
        } else {
            assert_eq!(answer.status, 400, "{key:?}: {answer:?}");
        }
    }

    /// A header that the pool does not read, or a preference: none of them changes what is answered.
    fn others(&self, choices: &mut Choices<'_>) {
        let name = choices.pick(&[
            "prefer",
            "content-type",
            "authorization",
            "accept",
            "x-forwarded-for",
            "host",
            "cookie",
            "content-length",
        ]);
        let route = choices.pick(&[Route::Acquire, Route::Look, Route::Heartbeat, Route::Pool]);
        let value = header(
            choices,
            &[
                "wait=20",
                "wait=1, respond-async",
                "wait=\"3\"; x",
                "application/json",
                "text/plain",
                "Bearer abc",
                "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request",
            ],
        );
        let mut request = self.bed.sound(route);
        request.event["headers"][name] = value.as_str().into();
        if let Some(answer) = self.send(&request) {
            assert!(answer.status < 300, "{name}: {value:?} on {}: {answer:?}", route.key());
        }
    }

    /// A user id: whoever it is, it is one owner by what stands before the colon, and nobody else.
    fn user(&self, choices: &mut Choices<'_>) {
        let user = header(choices, &[ANN, "AROACALLER:worker-1", "AROALOCALNODEROLE0000:i-0123456789abcdef0"]);
        let route = choices.pick(&Route::ALL);
        let request = self.bed.sound(route).by(&user);
        let Some(answer) = self.send(&request) else { return };
        let unique_id = user.split(':').next().unwrap_or_default();
        let expected = match route {
            _ if unique_id.is_empty() => 403,
            Route::Look | Route::Renew | Route::Release if unique_id != ANN => 403,
            _ if route.is_of_operators() && unique_id == pool_tests::request::NODE_ROLE_ID => 403,
            Route::Release | Route::ForceRelease => 204,
            Route::Acquire => 201,
            Route::Ready | Route::Heartbeat => {
                let itself = user == format!("{}:{}", pool_tests::request::NODE_ROLE_ID, self.bed.instance);
                assert_eq!(answer.status < 300, itself, "{user:?}: {answer:?}");
                return;
            }
            _ => 200,
        };
        assert_eq!(answer.status, expected, "{user:?} on {}: {answer:?}", route.key());
    }
}

/// The value of a header: a sound one made a little wrong, or a text from anywhere.
fn header(choices: &mut Choices<'_>, sound: &[&str]) -> String {
    if choices.below(2) == 1 {
        return mutate::text(choices);
    }
    let mut text = choices.pick(sound).to_owned();
    while choices.below(2) == 1 {
        mutate::edit(&mut text, choices);
        text = text.chars().take(4_000).collect();
    }
    text
}

#[test]
fn any_header_is_as_documented_or_refused_or_ignored() {
    let target = Target::new();
    fuzz!("headers", DRAWS, |bytes: &[u8]| target.take(bytes));
}
