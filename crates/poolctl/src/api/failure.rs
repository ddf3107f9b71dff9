//! Why a command did not do what it was to do, and with which status it ends.

use std::io;

use pool_client::ApiError;

use crate::connect::ConnectError;
use crate::top::TopError;

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request came to nothing.
    #[error("{0}{hint}", hint = hint(.0))]
    Api(#[from] ApiError),
    /// There is no connection to a browser.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The time that the caller was ready to wait is over.
    #[error("no instance came within the time you were ready to wait")]
    WaitedInVain,
    /// Nothing can be watched.
    #[error(transparent)]
    Top(#[from] TopError),
    /// Somebody took the order back that was waited for.
    #[error("the pool is not drained any more: somebody took the order back; {left} instances are there")]
    TakenBack {
        /// Instances that are there.
        left: usize,
    },
    /// The answer cannot be printed.
    #[error(transparent)]
    Unprinted(#[from] io::Error),
}

fn hint(error: &ApiError) -> &'static str {
    match error {
        ApiError::NoCredentials(_) => {
            "\nset AWS_PROFILE or --profile, or run `aws configure`; with SSO: eval \"$(aws configure export-credentials --format env)\""
        }
        _ => "",
    }
}

impl Failure {
    /// The exit status, as `--help` lists them.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::WaitedInVain => 3,
            Self::Api(error) | Self::Connect(ConnectError::Api(error)) | Self::Top(TopError::Asked(error)) => {
                status_of(error)
            }
            Self::Top(TopError::NoTerminal(_)) => 2,
            Self::TakenBack { .. } | Self::Unprinted(_) | Self::Connect(_) => 1,
        }
    }
}

fn status_of(error: &ApiError) -> u8 {
    match error {
        ApiError::Refused { status: 503, .. } => 3,
        ApiError::Refused { .. } | ApiError::Unintelligible { .. } => 1,
        ApiError::NoUrl(_) => 2,
        ApiError::NoCredentials(_) | ApiError::NoRegion | ApiError::Unsigned(_) | ApiError::Unreachable { .. } => 4,
    }
}
