//! The faults a test or an operator of `cargo local` may order: what EC2 refuses, holds back, throttles or breaks, and
//! how guests behave.
//!
//! Rule: everything is off by default, and a fault never reaches an instance that was launched before it was ordered
//! (except by id, through `Ec2`).

use serde::{Deserialize, Serialize};

use crate::{error::ApiError, filters::glob, instance::Market};

/// What is wrong with this EC2 at the moment. The default is that nothing is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Offerings without capacity, as `type/zone/market` (market is `spot` or `on-demand`). `*` and `?` are wild, and
    /// parts left out at the end match everything: `t3.medium`, `*/us-east-1a`, `*/*/spot`.
    pub no_capacity: Vec<String>,
    /// Offerings refused with another code than `InsufficientInstanceCapacity`, such as `MaxSpotInstanceCountExceeded`.
    pub refuse: Vec<Refusal>,
    /// No fleet gets more instances than this.
    pub partial_fleet: Option<u32>,
    /// So many of the next requests, whatever they are, are answered `RequestLimitExceeded` (HTTP 503).
    pub throttle_next: u32,
    /// Requests to come that fail, by action.
    pub error_next: Vec<ErrorNext>,
    /// How the guest of each instance launched from now on behaves.
    pub guest: Guest,
}

/// An offering that EC2 refuses, and the code it says so with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// A pattern as in [`Faults::no_capacity`].
    pub offering: String,
    /// The EC2 error code.
    pub code: String,
}

/// The next `count` requests of `action` are answered with `code`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorNext {
    /// `RunInstances`, `CreateFleet`, …; `*` is any action.
    pub action: String,
    /// The EC2 error code; those that EC2 files under server errors come with a 5xx status.
    pub code: String,
    /// How many requests are still to fail.
    pub count: u32,
    /// True: the request takes effect and only its answer is lost, which is what `ClientToken` exists for.
    #[serde(default)]
    pub after_effect: bool,
}

impl ErrorNext {
    /// The next `count` requests of `action` fail before they take effect.
    #[must_use]
    pub fn refused(action: &str, code: &str, count: u32) -> Self {
        Self { action: action.to_owned(), code: code.to_owned(), count, after_effect: false }
    }
}

/// How the software on an instance behaves. The simulator only carries it; the machine room acts on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guest {
    /// False: it never becomes healthy and never registers.
    pub boots: bool,
    /// False: it registers and then falls silent.
    pub heartbeats: bool,
    /// False: its heartbeats say that it is not healthy.
    pub healthy: bool,
    /// CPU that its heartbeats tell of while it is leased, in percent; the machine room's own figure if absent.
    pub busy_percent: Option<u32>,
    /// From `running` to healthy, in milliseconds; the machine room's own figure if absent.
    pub boot_ms: Option<u64>,
}

impl Default for Guest {
    fn default() -> Self {
        Self { boots: true, heartbeats: true, healthy: true, busy_percent: None, boot_ms: None }
    }
}

impl Faults {
    /// Checks what a type cannot say: the offering patterns.
    ///
    /// # Errors
    /// A sentence that names the pattern and says what it must look like.
    pub fn check(&self) -> Result<(), String> {
        let refused = self.refuse.iter().map(|refusal| &refusal.offering);
        for pattern in self.no_capacity.iter().chain(refused) {
            if pattern.is_empty() || pattern.split('/').count() > 3 {
                return Err(format!(
                    "The offering {pattern:?} must be type/zone/market, such as t3.medium/us-east-1a/spot or */us-east-1a."
                ));
            }
        }
        Ok(())
    }

    /// Whether an offering can be launched now, or EC2's refusal.
    pub(crate) fn offers(&self, instance_type: &str, zone: &str, market: Market) -> Result<(), ApiError> {
        let hit = |pattern: &str| {
            let mut parts = pattern.split('/');
            let fits = [instance_type, zone, market.name()].iter().all(|fact| glob(parts.next().unwrap_or("*"), fact));
            fits && parts.next().is_none()
        };
        if let Some(refusal) = self.refuse.iter().find(|refusal| hit(&refusal.offering)) {
            return Err(ApiError::injected(&refusal.code));
        }
        if self.no_capacity.iter().any(|pattern| hit(pattern)) {
            return Err(no_capacity(instance_type, zone));
        }
        Ok(())
    }

    /// Uses up one throttled request, if one is ordered.
    pub(crate) fn throttle(&mut self) -> Result<(), ApiError> {
        match self.throttle_next.checked_sub(1) {
            None => Ok(()),
            Some(rest) => {
                self.throttle_next = rest;
                Err(ApiError::new("RequestLimitExceeded", "Request limit exceeded."))
            }
        }
    }

    /// Uses up one ordered failure of an action, if there is one: the error, and whether the request still takes
    /// effect.
    pub(crate) fn take_error(&mut self, action: &str) -> Option<(ApiError, bool)> {
        let next = self.error_next.iter_mut().find(|next| next.count > 0 && glob(&next.action, action))?;
        next.count -= 1;
        let error = (ApiError::injected(&next.code), next.after_effect);
        self.error_next.retain(|next| next.count > 0);
        Some(error)
    }
}

/// The refusal of an offering that has run out.
pub(crate) fn no_capacity(instance_type: &str, zone: &str) -> ApiError {
    ApiError::new(
        "InsufficientInstanceCapacity",
        format!(
            "We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested ({zone})."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::{Faults, Market};

    #[test]
    fn offering_patterns() {
        let refused = |pattern: &str| {
            let faults = Faults { no_capacity: vec![pattern.to_owned()], ..Faults::default() };
            faults.offers("t3.medium", "us-east-1a", Market::Spot).is_err()
        };
        for pattern in ["*", "t3.medium", "t3.*", "*/us-east-1a", "*/*/spot", "t3.medium/us-east-1a/spot"] {
            assert!(refused(pattern), "{pattern}");
        }
        for pattern in ["t3", "t2.medium", "*/us-east-1b", "*/*/on-demand", "", "*/*/spot/*"] {
            assert!(!refused(pattern), "{pattern}");
        }
    }

    #[test]
    fn malformed_patterns_are_named() {
        let faults = Faults { no_capacity: vec!["a/b/c/d".to_owned()], ..Faults::default() };
        assert!(faults.check().is_err_and(|message| message.contains("a/b/c/d")));
    }
}
