//! Responses to API Gateway.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_lambda_events::encodings::Body;
use http::{HeaderName, HeaderValue};
use serde::Serialize;

/// A header of a response.
pub type Header = (&'static str, String);

/// A JSON response.
///
/// # Panics
/// As [`json_as`].
#[must_use]
pub fn json(status: u16, body: &impl Serialize, headers: impl IntoIterator<Item = Header>) -> ApiGatewayV2httpResponse {
    json_as("application/json", status, body, headers)
}

/// A JSON response of a given media type.
///
/// # Panics
/// Never for the answers of this API, which are plain structures with text keys.
#[must_use]
pub fn json_as(
    media_type: &'static str,
    status: u16,
    body: &impl Serialize,
    headers: impl IntoIterator<Item = Header>,
) -> ApiGatewayV2httpResponse {
    let text = serde_json::to_string(body).expect("answers are plain structures with text keys");
    let mut response = empty(status);
    response.body = Some(Body::Text(text));
    let media_type = ("content-type", media_type.to_owned());
    for (name, value) in std::iter::once(media_type).chain(headers) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// A response without a body.
#[must_use]
pub fn empty(status: u16) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = i64::from(status);
    // What the pool answers is true for this moment and this caller only.
    response.headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
