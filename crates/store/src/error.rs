//! What can go wrong between this system and its table. A condition that fails is not among it.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// Why the table could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB answered with an error.
    #[error("DynamoDB refused {operation}: {code}: {message}")]
    Engine {
        /// The operation, such as `UpdateItem`.
        operation: &'static str,
        /// DynamoDB's error code.
        code: String,
        /// The first line of DynamoDB's message.
        message: String,
    },
    /// No answer came. The write may have happened.
    #[error("no answer from DynamoDB to {operation}: {cause}")]
    NoAnswer {
        /// The operation.
        operation: &'static str,
        /// What the client says about it.
        cause: String,
    },
    /// DynamoDB took too many requests to answer all of this read.
    #[error("DynamoDB left {keys} items of a batch unread after {attempts} attempts; it is throttling this table")]
    Unread {
        /// Items not read.
        keys: usize,
        /// Requests made.
        attempts: u32,
    },
    /// An item is not what this system writes.
    #[error("item {key} is damaged: {what}")]
    Damaged {
        /// The item's key.
        key: String,
        /// What is wrong with it.
        what: String,
    },
}

/// DynamoDB's ways to say "too many requests", from its list of common errors.
const THROTTLES: [&str; 4] = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
];

impl StoreError {
    /// Whether the same request may well work a little later.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        match self {
            StoreError::Engine { code, .. } => THROTTLES.contains(&code.as_str()),
            StoreError::Unread { .. } => true,
            StoreError::NoAnswer { .. } | StoreError::Damaged { .. } => false,
        }
    }

    pub(crate) fn of<E, R>(operation: &'static str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        match error.code() {
            Some(code) => StoreError::Engine {
                operation,
                code: code.to_owned(),
                // Of a signature that is not accepted, what follows is the request with its session token.
                message: error.message().unwrap_or_default().lines().next().unwrap_or_default().to_owned(),
            },
            None => StoreError::NoAnswer { operation, cause: chain(error) },
        }
    }
}

/// An error and what caused it. Not with `DisplayErrorContext`, which also prints the raw answer: an item has node keys.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Whether a condition did not hold, which is an outcome and not a fault.
pub(crate) fn is_refusal<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.code() == Some("ConditionalCheckFailedException")
}
