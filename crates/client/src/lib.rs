//! Requests to the pool's API, signed as API Gateway wants them: for people's commands and for nodes.
//!
//! Rule: this crate knows how to ask, and nothing of what is asked for.

mod api;
mod credentials;
mod error;

pub use api::{Api, Ask, segment};
pub use error::ApiError;
