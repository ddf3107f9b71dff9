//! Why a request came to nothing.

use serde_json::Value;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The pool refused, with the problem that it named.
    #[error("{title}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The kind of problem.
        title: String,
        /// What is wrong and what to do.
        detail: String,
        /// When to try again, in seconds.
        retry_after_seconds: Option<u64>,
    },
    /// The endpoint is no URL.
    #[error(
        "the endpoint {0:?} is not a URL such as http://127.0.0.1:8080 or https://ID.execute-api.REGION.amazonaws.com"
    )]
    NoUrl(String),
    /// There are no credentials.
    #[error("no credentials to sign with: {0}")]
    NoCredentials(String),
    /// The region is not known, and no signature is valid without it.
    #[error("the region is not known; give --region")]
    NoRegion,
    /// The request could not be signed.
    #[error("the request cannot be signed: {0}")]
    Unsigned(String),
    /// The pool could not be reached.
    #[error("{endpoint} does not answer: {cause}")]
    Unreachable {
        /// Where.
        endpoint: String,
        /// Why.
        cause: String,
    },
    /// The answer is none of this API's.
    #[error("{endpoint} answered {status} with something that is not this API's: {text}")]
    Unintelligible {
        /// Where.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of it.
        text: String,
    },
}

/// Characters of an unknown answer that are shown.
const SHOWN_MAX: usize = 200;

impl ApiError {
    /// The problem in an answer of RFC 9457.
    pub(crate) fn refused(endpoint: &str, status: u16, body: &[u8]) -> Self {
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |key: &str| problem[key].as_str().map(str::to_owned);
        if let (Some(title), Some(detail)) = (text("title"), text("detail")) {
            let retry_after_seconds = problem["retry_after_seconds"].as_u64();
            return Self::Refused { status, title, detail, retry_after_seconds };
        }
        // API Gateway itself answers {"message": …} before the pool is asked.
        match text("message").or_else(|| text("Message")) {
            Some(detail) => Self::Refused {
                status,
                title: format!("API Gateway answered {status}"),
                detail,
                retry_after_seconds: None,
            },
            None => Self::unintelligible(endpoint, status, body),
        }
    }

    pub(crate) fn unintelligible(endpoint: &str, status: u16, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body).chars().take(SHOWN_MAX).collect();
        Self::Unintelligible { endpoint: endpoint.to_owned(), status, text }
    }
}
