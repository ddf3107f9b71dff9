//! What a request may look like. Whatever is wrong gets a message that says what to do, and nothing is changed.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use data_encoding::BASE64;
use serde_json::error::Category;

use crate::fields::Fields;
use crate::problem::Problem;

/// The largest body any route takes, in bytes; the largest valid one has less than a tenth.
pub const BODY_MAX_BYTES: usize = 8_192;

/// The longest `Idempotency-Key`, in characters.
const KEY_MAX: usize = 255;

/// The longest `Prefer: wait`, in seconds: API Gateway gives up after 30.
const PREFER_WAIT_MAX_SECONDS: u64 = 20;

/// The route that API Gateway matched, such as `POST /v1/leases`.
#[must_use]
pub fn route(event: &ApiGatewayV2httpRequest) -> &str {
    event.route_key.as_deref().unwrap_or_default()
}

/// The parameter `{id}` of the path.
///
/// # Errors
/// When it is missing or not of its form.
pub fn id<T: std::str::FromStr<Err = pool_core::ids::BadId>>(event: &ApiGatewayV2httpRequest) -> Result<T, Problem> {
    let text = event.path_parameters.get("id").map(String::as_str).unwrap_or_default();
    let shown: String = text.chars().take(80).collect();
    text.parse().map_err(|error| Problem::bad_request(format!("{shown:?} in the path: {error}.")))
}

/// The body. No body at all counts as `{}`.
///
/// # Errors
/// When it is too large, not a JSON object, or has a field twice.
pub fn body(event: &ApiGatewayV2httpRequest) -> Result<Fields, Problem> {
    let sent = event.body.as_deref().unwrap_or_default();
    if sent.len() > BODY_MAX_BYTES * 4 / 3 {
        return Err(Problem::too_large(BODY_MAX_BYTES));
    }
    let bytes = if event.is_base64_encoded {
        BASE64.decode(sent.as_bytes()).map_err(|_| Problem::bad_request("The body is not valid base64."))?
    } else {
        sent.as_bytes().to_vec()
    };
    if bytes.len() > BODY_MAX_BYTES {
        return Err(Problem::too_large(BODY_MAX_BYTES));
    }
    let bytes = if bytes.trim_ascii().is_empty() { b"{}".to_vec() } else { bytes };
    if bytes.trim_ascii().first() != Some(&b'{') {
        return Err(Problem::bad_request("The body is a JSON object, such as {}."));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        Problem::bad_request(match error.classify() {
            Category::Data => "The body has a field twice.".to_owned(),
            _ => format!("The body is not valid JSON; see line {}, column {}.", error.line(), error.column()),
        })
    })
}

/// A number within its range.
///
/// # Errors
/// When it is outside.
pub fn within(name: &str, value: u64, least: u64, most: u64) -> Result<u64, Problem> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Problem::bad_request(format!("{name} is {value}; it must be from {least} to {most} here.")))
}

/// The header `Idempotency-Key`, if it was sent.
///
/// # Errors
/// When it is empty, too long or has other than printable ASCII characters.
pub fn idempotency_key(event: &ApiGatewayV2httpRequest) -> Result<Option<String>, Problem> {
    let Some(value) = event.headers.get("idempotency-key") else { return Ok(None) };
    let key = value.as_bytes().trim_ascii();
    let printable = key.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    if key.is_empty() || key.len() > KEY_MAX || !printable {
        let form = format!("Idempotency-Key has 1 to {KEY_MAX} printable ASCII characters.");
        return Err(Problem::bad_request(form));
    }
    Ok(Some(String::from_utf8_lossy(key).into_owned()))
}

/// `wait=N` of the header `Prefer` (RFC 7240), at most 20 seconds, 0 when not sent. A preference that is not understood
/// is ignored, as the RFC wants.
#[must_use]
pub fn prefer_wait_seconds(event: &ApiGatewayV2httpRequest) -> u64 {
    let values = event.headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
    let preferences = values.flat_map(|value| value.split([',', ';']));
    let wait = preferences.filter_map(|preference| preference.trim().split_once('=')).find_map(|(name, value)| {
        let seconds = value.trim().trim_matches('"').parse::<u64>().ok();
        seconds.filter(|_| name.trim().eq_ignore_ascii_case("wait"))
    });
    wait.unwrap_or(0).min(PREFER_WAIT_MAX_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(event: &ApiGatewayV2httpRequest) -> Result<u64, Problem> {
        let mut fields = body(event)?;
        let number = fields.whole("number")?;
        fields.end().map(|()| number.unwrap_or(0))
    }

    fn event(body: &str) -> ApiGatewayV2httpRequest {
        let mut event = ApiGatewayV2httpRequest::default();
        event.body = Some(body.to_owned());
        event
    }

    #[test]
    fn bodies_are_objects_with_known_fields() {
        assert_eq!(number(&event("")), Ok(0));
        assert_eq!(number(&event(" {\"number\": 3} ")), Ok(3));
        for (bad, status) in [
            ("[]", 400),
            ("3", 400),
            ("{", 400),
            ("{\"nubmer\":3}", 400),
            ("{\"number\":-3}", 400),
            ("{\"number\":\"3\"}", 400),
            ("{\"number\":3,\"number\":3}", 400),
            (&"x".repeat(20_000), 413),
        ] {
            assert_eq!(number(&event(bad)).expect_err(bad).status, status);
        }
    }

    #[test]
    fn prefer_wait_is_read_and_bounded() {
        let mut event = event("");
        assert_eq!(prefer_wait_seconds(&event), 0);
        for (value, seconds) in
            [("wait=5", 5), ("respond-async, Wait=7", 7), ("wait=100", 20), ("wait=x", 0), ("wait", 0)]
        {
            event.headers.insert("prefer", value.parse().expect("a header"));
            assert_eq!(prefer_wait_seconds(&event), seconds, "{value}");
        }
    }
}
