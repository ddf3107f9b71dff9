//! What the operator decides: one field for each template parameter, read once at start from variables of the same name.
//!
//! Every value is checked against its range and all errors are named at once, so that a wrong deployment is mended in
//! one go. A value that exists is valid.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;

use crate::ids::{BadId, InstanceId, Owner};
use crate::schedule::Window;
use crate::shard::{Market, Terms};
use crate::time::Timestamp;

/// The pool's policy. Defaults are those of the template.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Hard cap on instances, everything counted, 1 to 10000.
    pub max_instances: u64,
    /// Never fewer instances, at most `max_instances`.
    pub min_instances: u64,
    /// Free instances kept ready; where they serve several sessions, sessions.
    pub min_available: u64,
    /// A lease's life without renewal.
    pub lease_ttl_seconds: u64,
    /// A lease's life in all.
    pub lease_ttl_max_seconds: u64,
    /// Waiting requests in a shard; every one makes each write of the shard dearer.
    pub queue_max: u64,
    /// How long a request may wait.
    pub wait_max_seconds: u64,
    /// How long a handed-over lease waits for its holder.
    pub claim_seconds: u64,
    /// Instances a shard owns; where they serve several sessions, sessions.
    pub shard_size: u64,
    /// Which address callers get.
    pub endpoint_address: EndpointAddress,
    /// Share of the members that one run of `reap-idle` may remove, at least one.
    pub removal_budget_percent: u64,
    /// How long an instance that no shard knows is left alone.
    pub reconcile_grace_seconds: u64,
    /// Boot failures in a row that stop launching.
    pub boot_failure_limit: u64,
    /// First cool-down of an offering that failed; it doubles with each further failure.
    pub offering_cooldown_seconds: u64,
    /// Free for so long, above the minimum: removed.
    pub idle_threshold_seconds: u64,
    /// Not ready by then: replaced.
    pub boot_deadline_seconds: u64,
    /// Where the service on an instance answers.
    pub health_port: u16,
    /// Path of its health check.
    pub health_path: String,
    /// Tries of the node's readiness loop.
    pub health_attempts: u64,
    /// Pause between two of them.
    pub health_interval_seconds: u64,
    /// Pause between two heartbeats.
    pub heartbeat_seconds: u64,
    /// Heartbeats missed in a row that make a node unhealthy.
    pub heartbeat_misses: u64,
    /// Instance types, in order of preference.
    pub instance_types: Vec<String>,
    /// On-demand instances before any Spot.
    pub on_demand_base: u64,
    /// Share of Spot above the base.
    pub spot_percent: u64,
    /// Stopped on-demand instances kept for a fast start.
    pub stopped_size: u64,
    /// Mean CPU of the leased nodes above which one more step is taken.
    pub scale_out_cpu_percent: u64,
    /// The same for memory.
    pub scale_out_memory_percent: u64,
    /// How long such a mean must hold.
    pub scale_out_period_seconds: u64,
    /// No new step out before.
    pub scale_out_cooldown_seconds: u64,
    /// Use must be low for so long, and no step in happened before.
    pub scale_in_cooldown_seconds: u64,
    /// Times at which the pool is larger.
    pub schedule: Vec<Window>,
    /// What happens to an instance when its lease ends.
    pub after_release: AfterRelease,
    /// Leases an instance serves before it is replaced; 0 for no limit.
    pub max_leases_per_instance: u64,
    /// Age at which an instance is replaced.
    pub max_age_seconds: u64,
    /// Sessions that an instance serves at a time, each under a lease of its own.
    pub sessions_per_instance: u64,
}

/// Which address of an instance callers are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointAddress {
    /// The private one.
    Private,
    /// The public one.
    Public,
}

/// What happens to an instance when its lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterRelease {
    /// The next caller gets it as it is.
    Reuse,
    /// The node cleans it first.
    Reset,
    /// It is terminated and replaced.
    Recycle,
}

impl FromStr for EndpointAddress {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        match text {
            "private" => Ok(Self::Private),
            "public" => Ok(Self::Public),
            _ => Err(BadId("is private or public")),
        }
    }
}

impl FromStr for AfterRelease {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        match text {
            "reuse" => Ok(Self::Reuse),
            "reset" => Ok(Self::Reset),
            "recycle" => Ok(Self::Recycle),
            _ => Err(BadId("is reuse, reset or recycle")),
        }
    }
}

/// Everything that is wrong with the variables, each with its name, its value and what would be right.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy has {} error(s):\n  {}", .0.len(), .0.join("\n  "))]
pub struct PolicyErrors(pub Vec<String>);

/// The same list: it is what a `main` prints of the error that it returns.
impl fmt::Debug for PolicyErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl Policy {
    /// Reads the policy from variables; those not given take their default. Variables that do not begin with `POOL_`
    /// are ignored.
    ///
    /// # Errors
    /// [`PolicyErrors`] names every value that is not of its type, out of its range, or at odds with another one.
    pub fn parse<K: AsRef<str>, V: AsRef<str>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, PolicyErrors> {
        let values = variables
            .into_iter()
            .filter(|(name, _)| name.as_ref().starts_with("POOL_"))
            .map(|(name, value)| (name.as_ref().to_owned(), value.as_ref().trim().to_owned()))
            .collect();
        let mut read = Reader { values, errors: Vec::new() };
        let policy = read.policy();
        policy.check(&mut read.errors);
        if read.errors.is_empty() { Ok(policy) } else { Err(PolicyErrors(read.errors)) }
    }

    /// Rules that tie two values together.
    fn check(&self, errors: &mut Vec<String>) {
        let mut at_most = |small: (&str, u64), large: (&str, u64)| {
            if small.1 > large.1 {
                errors.push(format!("{} = {} is more than {} = {}", small.0, small.1, large.0, large.1));
            }
        };
        let max = ("POOL_MAX", self.max_instances);
        at_most(("POOL_MIN", self.min_instances), max);
        let sessions = match self.sessions_per_instance {
            1 => max,
            _ => ("POOL_MAX * POOL_SESSIONS_PER_INSTANCE", self.slots(self.max_instances)),
        };
        at_most(("POOL_MIN_AVAILABLE", self.min_available), sessions);
        at_most(("POOL_ON_DEMAND_BASE", self.on_demand_base), max);
        at_most(("POOL_STOPPED_SIZE", self.stopped_size), max);
        at_most(
            ("POOL_LEASE_TTL_SECONDS", self.lease_ttl_seconds),
            ("POOL_LEASE_TTL_MAX_SECONDS", self.lease_ttl_max_seconds),
        );
        let sessions = self.sessions_per_instance;
        if !self.shard_size.is_multiple_of(sessions) {
            errors.push(format!(
                "POOL_SHARD_SIZE = {} is no multiple of POOL_SESSIONS_PER_INSTANCE = {sessions}",
                self.shard_size
            ));
        }
        if sessions > 1 && self.after_release == AfterRelease::Recycle {
            errors.push(format!(
                "POOL_AFTER_RELEASE = recycle goes with POOL_SESSIONS_PER_INSTANCE = 1 alone, and not with {sessions}"
            ));
        }
        if sessions > 1 && self.stopped_size > 0 {
            errors.push(format!(
                "POOL_STOPPED_SIZE = {} goes with POOL_SESSIONS_PER_INSTANCE = 1 alone, and not with {sessions}",
                self.stopped_size
            ));
        }
    }

    /// The sessions that so many instances serve at a time. Everything that is leased is counted in sessions.
    #[must_use]
    pub fn slots(&self, instances: u64) -> u64 {
        instances.saturating_mul(self.sessions_per_instance)
    }

    /// How many shards a pool of this size has.
    #[must_use]
    pub fn shards(&self) -> u32 {
        u32::try_from(self.slots(self.max_instances).div_ceil(self.shard_size)).unwrap_or(u32::MAX)
    }

    /// The terms of a lease granted at `now`.
    #[must_use]
    pub fn lease_terms(&self, owner: &Owner, ttl_seconds: u64, now: Timestamp) -> Terms {
        let hard_end = now + self.lease_ttl_max_seconds;
        Terms { owner: owner.clone(), until: (now + ttl_seconds).min(hard_end), hard_end, ttl_seconds }
    }

    /// The terms of a wait that begins at `now`. The lease it may become can live its whole life even when it was
    /// handed over at the last moment; its hard end, which the confirmation sets anew, tells when the wait began.
    #[must_use]
    pub fn wait_terms(&self, owner: &Owner, ttl_seconds: u64, wait_seconds: u64, now: Timestamp) -> Terms {
        let until = now + wait_seconds;
        let hard_end = now + self.wait_max_seconds.max(wait_seconds) + self.lease_ttl_max_seconds;
        Terms { owner: owner.clone(), until, hard_end, ttl_seconds }
    }

    /// When a wait of these terms began.
    #[must_use]
    pub fn waiting_since(&self, terms: &Terms) -> Timestamp {
        terms.hard_end - (self.wait_max_seconds + self.lease_ttl_max_seconds)
    }

    /// The market of the next instance, given how many there are of each.
    #[must_use]
    pub fn market_for(&self, on_demand: u64, spot: u64) -> Market {
        if on_demand < self.on_demand_base {
            return Market::OnDemand;
        }
        let above_base = on_demand - self.on_demand_base + spot + 1;
        let wanted_spot = (above_base * self.spot_percent).div_ceil(100);
        if spot < wanted_spot { Market::Spot } else { Market::OnDemand }
    }

    /// How long a node may be silent before it counts as unhealthy.
    #[must_use]
    pub fn silence_limit_seconds(&self) -> u64 {
        self.heartbeat_seconds * self.heartbeat_misses
    }
}

struct Reader {
    values: BTreeMap<String, String>,
    errors: Vec<String>,
}

impl Reader {
    fn policy(&mut self) -> Policy {
        const DAY: u64 = 86_400;
        Policy {
            max_instances: self.number("POOL_MAX", 10, 1, 10_000),
            min_instances: self.number("POOL_MIN", 0, 0, 10_000),
            min_available: self.number("POOL_MIN_AVAILABLE", 1, 0, 10_000),
            lease_ttl_seconds: self.number("POOL_LEASE_TTL_SECONDS", 600, 10, 7 * DAY),
            lease_ttl_max_seconds: self.number("POOL_LEASE_TTL_MAX_SECONDS", 28_800, 10, 30 * DAY),
            queue_max: self.number("POOL_QUEUE_MAX", 32, 0, 1_000),
            wait_max_seconds: self.number("POOL_WAIT_MAX_SECONDS", 300, 0, 3_600),
            claim_seconds: self.number("POOL_CLAIM_SECONDS", 30, 5, 600),
            shard_size: self.number("POOL_SHARD_SIZE", 16, 1, 64),
            endpoint_address: self.value("POOL_ENDPOINT_ADDRESS", EndpointAddress::Private),
            removal_budget_percent: self.number("POOL_REMOVAL_BUDGET_PERCENT", 20, 1, 100),
            reconcile_grace_seconds: self.number("POOL_RECONCILE_GRACE_SECONDS", 120, 30, DAY),
            boot_failure_limit: self.number("POOL_BOOT_FAILURE_LIMIT", 3, 1, 1_000),
            offering_cooldown_seconds: self.number("POOL_OFFERING_COOLDOWN_SECONDS", 180, 1, 3_600),
            idle_threshold_seconds: 60 * self.number("POOL_IDLE_THRESHOLD_MINUTES", 10, 1, 10_080),
            boot_deadline_seconds: self.number("POOL_BOOT_DEADLINE_SECONDS", 600, 10, DAY),
            health_port: self.value("POOL_HEALTH_PORT", 3_000),
            health_path: self.health_path(),
            health_attempts: self.number("POOL_HEALTH_ATTEMPTS", 30, 1, 1_000),
            health_interval_seconds: self.number("POOL_HEALTH_INTERVAL_SECONDS", 5, 1, 300),
            heartbeat_seconds: self.number("POOL_HEARTBEAT_SECONDS", 30, 1, 3_600),
            heartbeat_misses: self.number("POOL_HEARTBEAT_MISSES", 4, 1, 100),
            instance_types: self.instance_types(),
            on_demand_base: self.number("POOL_ON_DEMAND_BASE", 0, 0, 10_000),
            spot_percent: self.number("POOL_SPOT_PERCENT", 100, 0, 100),
            stopped_size: self.number("POOL_STOPPED_SIZE", 0, 0, 10_000),
            scale_out_cpu_percent: self.number("POOL_SCALE_OUT_CPU_PERCENT", 75, 1, 100),
            scale_out_memory_percent: self.number("POOL_SCALE_OUT_MEMORY_PERCENT", 80, 1, 100),
            scale_out_period_seconds: self.number("POOL_SCALE_OUT_PERIOD_SECONDS", 120, 0, DAY),
            scale_out_cooldown_seconds: self.number("POOL_SCALE_OUT_COOLDOWN_SECONDS", 30, 0, DAY),
            scale_in_cooldown_seconds: self.number("POOL_SCALE_IN_COOLDOWN_SECONDS", 300, 0, DAY),
            schedule: self.schedule(),
            after_release: self.value("POOL_AFTER_RELEASE", AfterRelease::Reuse),
            max_leases_per_instance: self.number("POOL_MAX_LEASES_PER_INSTANCE", 0, 0, 1_000_000),
            max_age_seconds: 3_600 * self.number("POOL_MAX_AGE_HOURS", 24, 1, 8_760),
            sessions_per_instance: self.number("POOL_SESSIONS_PER_INSTANCE", 1, 1, InstanceId::SLOTS_MAX),
        }
    }

    /// The value of a variable; an empty one counts as not given, as template parameters can only be emptied.
    fn text(&self, name: &str) -> Option<String> {
        self.values.get(name).filter(|value| !value.is_empty()).cloned()
    }

    fn value<T: FromStr<Err: Display>>(&mut self, name: &str, default: T) -> T {
        let Some(text) = self.text(name) else { return default };
        text.parse().unwrap_or_else(|error| {
            self.errors.push(format!("{name} = {text:?}: {error}"));
            default
        })
    }

    fn number(&mut self, name: &str, default: u64, least: u64, most: u64) -> u64 {
        let Some(text) = self.text(name) else { return default };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => number,
            _ => {
                self.errors.push(format!("{name} = {text:?}: must be a whole number from {least} to {most}"));
                default
            }
        }
    }

    fn health_path(&mut self) -> String {
        let path = self.text("POOL_HEALTH_PATH").unwrap_or_else(|| "/health".to_owned());
        let well_formed =
            path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && !b"'\"\\`$".contains(&b));
        if !well_formed {
            self.errors
                .push(format!("POOL_HEALTH_PATH = {path:?}: is a path such as /health, without quotes or spaces"));
        }
        path
    }

    fn instance_types(&mut self) -> Vec<String> {
        let text = self.text("POOL_INSTANCE_TYPES").unwrap_or_else(|| "t2.medium,t3.medium,t3a.medium".to_owned());
        let types: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        let is_type = |name: &String| {
            let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            name.split_once('.').is_some_and(|(family, size)| {
                !family.is_empty() && !size.is_empty() && family.bytes().chain(size.bytes()).all(known)
            })
        };
        let distinct: std::collections::BTreeSet<_> = types.iter().collect();
        if distinct.len() < types.len() {
            // EC2 refuses a fleet that names one twice, and would never launch anything.
            self.errors.push(format!("POOL_INSTANCE_TYPES = {text:?}: names a type twice"));
        }
        if !types.iter().all(is_type) {
            self.errors.push(format!("POOL_INSTANCE_TYPES = {text:?}: is a list such as t3.medium,t3a.medium"));
        }
        types
    }

    fn schedule(&mut self) -> Vec<Window> {
        let text = self.text("POOL_SCHEDULE").unwrap_or_else(|| "[]".to_owned());
        crate::schedule::parse(&text).unwrap_or_else(|errors| {
            self.errors.extend(errors.into_iter().map(|error| format!("POOL_SCHEDULE: {error}")));
            Vec::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<Policy, PolicyErrors> {
        Policy::parse(variables.iter().copied())
    }

    fn default() -> Policy {
        parse(&[]).expect("the defaults are valid")
    }

    #[test]
    fn nothing_given_is_the_documented_default() {
        let policy = default();
        assert_eq!((policy.max_instances, policy.min_available, policy.lease_ttl_seconds), (10, 1, 600));
        assert_eq!(policy.instance_types, ["t2.medium", "t3.medium", "t3a.medium"]);
        assert_eq!(policy.idle_threshold_seconds, 600);
    }

    #[test]
    fn every_error_is_named_at_once() {
        let errors = parse(&[
            ("POOL_MAX", "many"),
            ("POOL_LEASE_TTL_SECONDS", "-1"),
            ("POOL_AFTER_RELEASE", "burn"),
            ("POOL_SCHEDULE", "[{}]"),
            ("POOL_INSTANCE_TYPES", "t3"),
            ("POOL_HEALTH_PATH", "health"),
            ("POOL_MIN", "11"),
        ])
        .expect_err("all are wrong")
        .0;
        for name in
            ["POOL_MAX", "LEASE_TTL_SECONDS", "AFTER_RELEASE", "SCHEDULE", "INSTANCE_TYPES", "HEALTH_PATH", "POOL_MIN "]
        {
            assert!(errors.iter().any(|error| error.contains(name)), "{name} is missing in {errors:?}");
        }
    }

    #[test]
    fn the_market_follows_base_and_percentage() {
        let policy = Policy { on_demand_base: 2, spot_percent: 50, ..default() };
        let (mut on_demand, mut spot) = (0, 0);
        for _ in 0..10 {
            match policy.market_for(on_demand, spot) {
                Market::OnDemand => on_demand += 1,
                Market::Spot => spot += 1,
            }
        }
        assert_eq!((on_demand, spot), (6, 4));
    }
}
