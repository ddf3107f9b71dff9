//! `ClientToken` idempotency, by <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>.
//!
//! Rules:
//! - The same token with the same parameters gives the first request's result again (only states may differ) and does
//!   nothing.
//! - The same token with other parameters is `IdempotentParameterMismatch`.
//! - `RunInstances` is zonal if the request names a zone or a subnet: the token is another one in each zone; else it is
//!   regional.
//! - A request that failed has not used its token.
//! - A token stays in use until 24 hours after the last of its instances terminated. Once the describe calls have
//!   forgotten them all, `RunInstances` answers `IdempotentInstanceTerminated` under it.

use std::collections::BTreeMap;

use crate::{error::ApiError, fleet::FleetAnswer, parameters::Parameters};

/// AWS: "valid for at least 24 hours after the termination of the instance".
const KEEP_MS: u64 = 86_400_000;
/// AWS: "up to 64 ASCII characters".
const LENGTH_MAX: usize = 64;
/// What may differ between a request and its repeat.
const NOT_COMPARED: [&str; 4] = ["Action", "ClientToken", "DryRun", "Version"];

/// Where a token counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenKey {
    action: &'static str,
    /// The zone of a zonal request.
    zone: Option<String>,
    token: String,
}

/// What a request did, enough to answer it again.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Reservation { id: String, instance_ids: Vec<String> },
    Fleet(FleetAnswer),
    Template { id: String },
    TemplateVersion { id: String, version: u32 },
}

#[derive(Debug)]
struct Use {
    fingerprint: Vec<u8>,
    outcome: Outcome,
    /// Instances of this use that are not terminated.
    live: usize,
    /// When the last of them terminated, or the request itself if it launched none.
    ended_at_ms: u64,
}

/// All tokens in use.
#[derive(Debug, Default)]
pub(crate) struct Tokens(BTreeMap<TokenKey, Use>);

impl Tokens {
    /// The key of a request's token, if it has one.
    pub(crate) fn key(
        action: &'static str,
        zone: Option<String>,
        request: &Parameters,
    ) -> Result<Option<TokenKey>, ApiError> {
        let Some(token) = request.get("ClientToken") else { return Ok(None) };
        if token.len() > LENGTH_MAX || !token.is_ascii() {
            return Err(ApiError::value(token, "ClientToken", "it must be up to 64 ASCII characters"));
        }
        Ok(Some(TokenKey { action, zone, token: token.to_owned() }))
    }

    /// The result of an earlier request under the same token, or the error if that request was another one.
    pub(crate) fn earlier(&self, key: Option<&TokenKey>, request: &Parameters) -> Result<Option<&Outcome>, ApiError> {
        let Some(used) = key.and_then(|key| self.0.get(key)) else { return Ok(None) };
        if used.fingerprint != fingerprint(request) {
            return Err(ApiError::new(
                "IdempotentParameterMismatch",
                "The request uses the same client token as a previous, but non-identical request. Do not reuse a client token with \
                 different requests, unless the requests are identical.",
            ));
        }
        Ok(Some(&used.outcome))
    }

    /// Notes what a request did. Returns when the token may be forgotten, if no instance's life decides that.
    pub(crate) fn record(
        &mut self,
        key: TokenKey,
        request: &Parameters,
        outcome: Outcome,
        instances: usize,
        now_ms: u64,
    ) -> Option<u64> {
        let fingerprint = fingerprint(request);
        self.0.insert(key, Use { fingerprint, outcome, live: instances, ended_at_ms: now_ms });
        (instances == 0).then(|| now_ms.saturating_add(KEEP_MS))
    }

    /// One instance of this use terminated. Returns when the token may be forgotten if it was the last one.
    pub(crate) fn instance_ended(&mut self, key: TokenKey, now_ms: u64) -> Option<(TokenKey, u64)> {
        let used = self.0.get_mut(&key)?;
        used.live = used.live.saturating_sub(1);
        used.ended_at_ms = now_ms;
        (used.live == 0).then(|| (key, now_ms.saturating_add(KEEP_MS)))
    }

    pub(crate) fn forget(&mut self, key: &TokenKey, now_ms: u64) {
        if self.0.get(key).is_some_and(|used| used.live == 0 && used.ended_at_ms.saturating_add(KEEP_MS) <= now_ms) {
            self.0.remove(key);
        }
    }
}

fn fingerprint(request: &Parameters) -> Vec<u8> {
    request.without(&NOT_COMPARED).fingerprint()
}
