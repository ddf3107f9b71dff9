//! Answers as API Gateway would pass them on.

use std::collections::BTreeMap;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_lambda_events::encodings::Body;
use serde_json::Value;

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// The body, if there is one.
    pub body: Option<Value>,
}

impl Answer {
    /// What a function answered.
    #[must_use]
    pub fn of(response: ApiGatewayV2httpResponse) -> Self {
        let headers = response.headers.iter().map(|(name, value)| {
            (name.as_str().to_owned(), value.to_str().expect("header values are plain text").to_owned())
        });
        let body = match response.body {
            None | Some(Body::Empty) => None,
            Some(Body::Text(text)) => Some(serde_json::from_str(&text).expect("bodies are JSON")),
            Some(other) => panic!("the body is not text: {other:?}"),
        };
        let status = u16::try_from(response.status_code).expect("an HTTP status");
        Self { status, headers: headers.collect(), body }
    }

    /// The body of an answer that must have this status.
    #[track_caller]
    #[must_use]
    pub fn of_status(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.body.unwrap_or_default()
    }

    /// Asserts the status of an answer whose body does not matter.
    #[track_caller]
    pub fn is(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
    }

    /// Asserts that it is this error and, where it says when to try again, that header and body say the same.
    #[track_caller]
    pub fn is_problem(&self, status: u16, kind: &str) {
        self.is(status);
        let body = self.body.clone().unwrap_or_default();
        assert_eq!(body["type"], format!("urn:ec2-pool:{kind}"), "{self:?}");
        let seconds = body["retry_after_seconds"].as_u64().map(|seconds| seconds.to_string());
        assert_eq!(self.headers.get("retry-after"), seconds.as_ref(), "{self:?}");
    }

    /// A field of the body that is text.
    #[track_caller]
    #[must_use]
    pub fn text(&self, field: &str) -> String {
        let value = self.body.as_ref().and_then(|body| body[field].as_str());
        value.unwrap_or_else(|| panic!("no text {field:?} in {self:?}")).to_owned()
    }

    /// A field of the body that is a whole number.
    #[track_caller]
    #[must_use]
    pub fn number(&self, field: &str) -> u64 {
        let value = self.body.as_ref().and_then(|body| body[field].as_u64());
        value.unwrap_or_else(|| panic!("no number {field:?} in {self:?}"))
    }
}
