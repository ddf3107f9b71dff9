//! Why a command did not do what it was to do, and with which status it ends.

use std::io;

use serde_json::Value;

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
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
    /// The time that the caller was ready to wait is over.
    #[error("no instance came within the time you were ready to wait")]
    WaitedInVain,
    /// Somebody took the order back that was waited for.
    #[error("the pool is not drained any more: somebody took the order back; {left} instances are there")]
    TakenBack {
        /// Instances that are there.
        left: usize,
    },
    /// The endpoint is no URL.
    #[error(
        "the endpoint {0:?} is not a URL such as http://127.0.0.1:8080 or https://ID.execute-api.REGION.amazonaws.com"
    )]
    NoUrl(String),
    /// There are no credentials.
    #[error(
        "no credentials to sign with: {0}\nset AWS_PROFILE or --profile, or run `aws configure`; with SSO: eval \"$(aws configure export-credentials --format env)\""
    )]
    NoCredentials(String),
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
    /// The answer cannot be printed.
    #[error(transparent)]
    Unprinted(#[from] io::Error),
}

/// Characters of an unknown answer that are shown.
const SHOWN_MAX: usize = 200;

impl Failure {
    /// The problem in an answer of RFC 9457.
    pub(super) fn refused(endpoint: &str, status: u16, body: &[u8]) -> Self {
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

    pub(super) fn unintelligible(endpoint: &str, status: u16, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body).chars().take(SHOWN_MAX).collect();
        Self::Unintelligible { endpoint: endpoint.to_owned(), status, text }
    }

    /// The exit status, as `--help` lists them.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::WaitedInVain | Self::Refused { status: 503, .. } => 3,
            Self::Refused { .. } | Self::TakenBack { .. } | Self::Unintelligible { .. } | Self::Unprinted(_) => 1,
            Self::NoUrl(_) => 2,
            Self::NoCredentials(_) | Self::Unsigned(_) | Self::Unreachable { .. } => 4,
        }
    }
}
