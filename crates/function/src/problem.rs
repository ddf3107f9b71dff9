//! How an error is told: RFC 9457 problem details, with a `detail` that says what to do.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use pool_core::answer::Refusal;
use pool_store::StoreError;
use serde::Serialize;

use crate::response;

/// An error as the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Names the kind of error, for programs.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The kind of error, for people.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What is wrong here and what to do.
    pub detail: String,
    /// When to try again, in seconds, also the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
}

impl Problem {
    fn new(status: u16, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, title, status, detail: detail.into(), retry_after_seconds: None }
    }

    fn again_in(self, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    /// The request itself is wrong.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "urn:ec2-pool:bad-request", "The request is not valid", detail)
    }

    /// The body is larger than any valid one.
    #[must_use]
    pub fn too_large(limit_bytes: usize) -> Self {
        let detail = format!("The body has more than {limit_bytes} bytes; send only the documented fields.");
        Self::new(413, "urn:ec2-pool:too-large", "The body is too large", detail)
    }

    /// The caller may not do this.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(403, "urn:ec2-pool:forbidden", "Not yours", detail)
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "urn:ec2-pool:not-found", "Not there", detail)
    }

    /// The node comes before what the pool must know of it.
    #[must_use]
    pub fn not_yet(detail: impl Into<String>) -> Self {
        Self::not_found(detail).again_in(2)
    }

    /// Too many wrote the same shard at once.
    #[must_use]
    pub fn contended() -> Self {
        let detail = "Too many requests changed the same shard at once. If this one had an effect, the same \
                      Idempotency-Key or lease_id finds it. Try again.";
        Self::new(503, "urn:ec2-pool:contended", "Busy", detail).again_in(1)
    }

    /// A refusal of the core. `spread` is any number that differs between callers, so that they do not all come back in
    /// the same second.
    #[must_use]
    pub fn refused(refusal: Refusal, spread: u64) -> Self {
        match refusal {
            Refusal::Foreign => Self::forbidden("This lease belongs to another caller. Use the lease_id of your own lease."),
            Refusal::NotThere => {
                Self::not_found("There is no such lease; it may have ended. Acquire a new one with POST /v1/leases.")
            }
            Refusal::OtherEpoch => Self::new(
                409,
                "urn:ec2-pool:other-epoch",
                "The lease has moved on",
                "The lease_id names another grant than the present one. GET /v1/leases/{id} answers the present lease_id.",
            ),
            Refusal::PastHardEnd => Self::new(
                409,
                "urn:ec2-pool:hard-end",
                "The lease cannot be longer",
                "The lease has reached the longest life a lease may have. Release it and acquire a new one.",
            ),
            Refusal::NothingFree => Self::new(
                503,
                "urn:ec2-pool:nothing-free",
                "Nothing is free",
                "No instance is free now and the request does not wait. Try again, or send wait_seconds to wait in line.",
            )
            .again_in(2 + spread % 4),
            Refusal::QueueFull => Self::new(
                503,
                "urn:ec2-pool:queue-full",
                "The queue is full",
                "As many requests wait as may. Try again later.",
            )
            .again_in(5 + spread % 10),
            Refusal::OldLayout => Self::contended(),
            Refusal::NoPool => Self::new(
                503,
                "urn:ec2-pool:no-pool",
                "The pool is being set up",
                "The pool has no shards yet; the first run of scale makes them within a minute. Try again.",
            )
            .again_in(2 + spread % 4),
        }
    }

    /// The error as a response.
    #[must_use]
    pub fn response(&self) -> ApiGatewayV2httpResponse {
        let retry = self.retry_after_seconds.map(|seconds| ("retry-after", seconds.to_string()));
        response::json_as("application/problem+json", self.status, self, retry)
    }
}

/// A handler's answer, or its problem, as a response. The detail is for the caller only: it may repeat what was sent, and
/// that may be a key in the wrong place.
#[must_use]
pub fn answer(answered: Result<ApiGatewayV2httpResponse, Problem>) -> ApiGatewayV2httpResponse {
    answered.unwrap_or_else(|problem| {
        tracing::info!(status = problem.status, cause = problem.kind, "refused");
        problem.response()
    })
}

/// A failure of the table: the caller may try again. The cause is for the log, not for the caller.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the table failed");
        let detail = "The pool's table could not be reached in time. If this request had an effect, the same \
                      Idempotency-Key or lease_id finds it. Try again.";
        let seconds = if error.is_throttled() { 2 } else { 1 };
        Self::new(503, "urn:ec2-pool:unavailable", "Try again", detail).again_in(seconds)
    }
}
