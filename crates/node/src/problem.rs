//! How an error is told: RFC 9457 problem details, with a `detail` that says what to do.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pool_core::gate::Refusal;
use serde_json::json;

use crate::cdp::CdpError;
use crate::session::{NoEntry, Over};

/// An error as a caller sees it.
#[derive(Debug)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, title, detail: detail.into() }
    }

    /// There is no token.
    #[must_use]
    pub fn no_token() -> Self {
        let detail = "send the lease's access_token as \"Authorization: Bearer TOKEN\", or as ?access_token=TOKEN";
        Self::new(StatusCode::UNAUTHORIZED, "no-token", "A token is needed", detail)
    }

    /// The request itself is wrong.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request is not valid", detail)
    }

    /// Chrome answers no such method.
    #[must_use]
    pub fn bad_method() -> Self {
        let detail = "use GET, or PUT to open a page by /json/new?URL";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "bad-method", "Not this method", detail)
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(path: &str) -> Self {
        let path: String = path.chars().take(100).collect();
        let detail = format!(
            "there is no {path}; the node has /, /json/version, /v1/screenshot, /v1/pdf, /v1/live and /metrics"
        );
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not there", detail)
    }

    /// The body is larger than any valid one.
    #[must_use]
    pub fn too_large(limit_bytes: usize) -> Self {
        let detail = format!("the body has more than {limit_bytes} bytes; send only the documented fields");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
    }

    /// It took too long.
    #[must_use]
    pub fn slow(limit: Duration) -> Self {
        let detail = format!("it was not done within {} seconds; try a page that loads faster", limit.as_secs());
        Self::new(StatusCode::GATEWAY_TIMEOUT, "slow", "It took too long", detail)
    }

    /// Chrome does not work.
    #[must_use]
    pub fn unhealthy(why: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unhealthy", "Chrome does not work", why)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, kind) = match refusal {
            Refusal::Foreign => (StatusCode::UNAUTHORIZED, "foreign-token"),
            Refusal::Expired => (StatusCode::UNAUTHORIZED, "expired-token"),
            Refusal::Ended => (StatusCode::UNAUTHORIZED, "ended-lease"),
            Refusal::Leaving => (StatusCode::SERVICE_UNAVAILABLE, "leaving"),
        };
        Self::new(status, kind, "The token does not open this node", refusal.to_string())
    }
}

impl From<NoEntry> for Problem {
    fn from(why: NoEntry) -> Self {
        match why {
            NoEntry::Refused(refusal) => refusal.into(),
            NoEntry::Crowded(_) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", "Too much at once", why.to_string())
            }
            NoEntry::NoChrome(_) => Self::unhealthy(why.to_string()),
        }
    }
}

impl From<Over> for Problem {
    fn from(over: Over) -> Self {
        match over {
            Over::Lease => Refusal::Ended.into(),
            Over::Chrome => Self::unhealthy("Chrome ended while it worked for you; try again"),
        }
    }
}

impl From<CdpError> for Problem {
    fn from(error: CdpError) -> Self {
        match error {
            CdpError::NoPage(_) => {
                let detail = format!("{error}; look at the url");
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "no-page", "The page cannot be opened", detail)
            }
            CdpError::Refused { .. } => Self::bad_request(error.to_string()),
            CdpError::Socket(_) | CdpError::Closed => Self::unhealthy(error.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, kind, title, detail } = self;
        let problem = json!({ "type": format!("urn:ec2-pool:node:{kind}"), "title": title, "status": status.as_u16(), "detail": detail });
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}
