//! One error for every call: EC2's code and message, and what they mean for the pool.

use std::error::Error;

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use pool_core::offering::{LaunchFailure, Meaning};

use crate::meanings;

/// Characters kept of a message. It is stored with what it explains, and an encoded refusal of IAM fills pages.
const MESSAGE_CHARS_MAX: usize = 400;

/// The code when EC2 did not say one: the call did not arrive, or its answer did not.
const NO_ANSWER: &str = "NoAnswer";

/// A call to EC2 that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct FleetError {
    /// EC2's error code, or `NoAnswer`.
    pub code: String,
    /// The first line of EC2's message, or what went wrong on the way; at most 400 characters.
    pub message: String,
    /// What it means. [`Meaning::Unclear`] may have had its effect.
    pub meaning: Meaning,
}

impl FleetError {
    /// A success that lacks what it must say.
    pub(crate) fn unreadable(message: &str) -> Self {
        Self { code: NO_ANSWER.to_owned(), message: shortened(message), meaning: Meaning::Unclear }
    }

    /// The failure of a whole launch: it is about no offering in particular.
    pub(crate) fn of_launch(self) -> LaunchFailure {
        LaunchFailure { code: self.code, message: self.message, meaning: self.meaning, offering: None }
    }
}

impl<E: ProvideErrorMetadata + Error + 'static> From<SdkError<E, HttpResponse>> for FleetError {
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map(|response| response.status().as_u16());
        match error.code() {
            Some(code) => Self {
                code: code.to_owned(),
                message: shortened(error.message().unwrap_or_default()),
                meaning: meanings::of_call(code, status),
            },
            None => Self { code: NO_ANSWER.to_owned(), message: shortened(&chain(&error)), meaning: Meaning::Unclear },
        }
    }
}

/// The first line of a message, and not too much of it. What follows in that of a signature that is not accepted is the
/// request with its session token.
pub(crate) fn shortened(message: &str) -> String {
    message.lines().next().unwrap_or_default().chars().take(MESSAGE_CHARS_MAX).collect()
}

/// An error and what caused it. Not with `DisplayErrorContext`, which also prints the raw answer.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
