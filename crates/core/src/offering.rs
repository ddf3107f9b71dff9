//! Offerings: what EC2 sells (type, subnet, market), which of them failed lately, and for how long they are left alone.

use crate::control::{Control, CoolDown};
use crate::policy::Policy;
use crate::shard::{Launch, Market};
use crate::time::Timestamp;

/// The longest an offering cools down, in seconds: one hour.
const COOLDOWN_MAX_SECONDS: u64 = 3_600;
/// While an offering in doubt is tried, nobody else tries it for so long, in seconds.
const PROBE_SECONDS: u64 = 60;

/// What EC2 answered to a launch, in the words of this pool. The codes behind it are the fleet crate's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchFailure {
    /// EC2's error code.
    pub code: String,
    /// EC2's message.
    pub message: String,
    /// What it means.
    pub meaning: Meaning,
    /// The offering it is about, if it names one: type and subnet.
    pub offering: Option<(String, String)>,
}

/// What an error of EC2 means for the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// This offering has nothing to sell now; others may.
    NoCapacity,
    /// The account may not have more of this; other markets may.
    Quota,
    /// We may not do this: no retry helps, a person must.
    NotAllowed,
    /// Too many requests; later.
    Throttled,
    /// The token was used with other parameters or its instances are terminated: this launch is over.
    TokenSpent,
    /// The instance is not (yet) known to EC2; this says nothing about its end.
    Unknown,
    /// The request itself is wrong: a template or parameter that EC2 refuses.
    Invalid,
    /// The instance is in a state that this call cannot be made in.
    WrongState,
    /// EC2 or the way to it failed; the effect may have happened.
    Unclear,
}

impl Meaning {
    /// No retry mends it: a person must.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Quota | Self::NotAllowed | Self::Invalid)
    }
}

/// An offering's name, as `status` shows it.
#[must_use]
pub fn name(instance_type: &str, subnet: &str, market: Market) -> String {
    let market = match market {
        Market::Spot => "spot",
        Market::OnDemand => "on-demand",
    };
    format!("{instance_type}/{subnet}/{market}")
}

/// A choice of offerings for one launch: every type in every subnet, but for some pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Types, in order of preference.
    pub instance_types: Vec<String>,
    /// Subnets.
    pub subnets: Vec<String>,
    /// Pairs of them that are left out.
    pub except: Vec<(String, String)>,
}

/// The offerings of a market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offerings {
    /// Those that are not known to fail; `None` when there are none.
    pub open: Option<Choice>,
    /// Those that failed and whose cool-down is over: a single instance is tried first.
    pub in_doubt: Option<Choice>,
}

/// How an offering stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Open,
    InDoubt,
    Cooling,
}

/// The offerings of a market that may be tried now.
#[must_use]
pub fn offerings(policy: &Policy, subnets: &[String], control: &Control, market: Market, now: Timestamp) -> Offerings {
    let standing = |instance_type: &str, subnet: &str| match control.offerings.get(&name(instance_type, subnet, market))
    {
        None => Standing::Open,
        Some(cooling) if cooling.until > now => Standing::Cooling,
        Some(_) => Standing::InDoubt,
    };
    let choice = |wanted: Standing| {
        let is = |instance_type: &String, subnet: &String| standing(instance_type, subnet) == wanted;
        let types = policy.instance_types.iter().filter(|t| subnets.iter().any(|s| is(t, s)));
        let instance_types: Vec<String> = types.cloned().collect();
        let subnets = subnets.iter().filter(|s| instance_types.iter().any(|t| is(t, s)));
        let subnets: Vec<String> = subnets.cloned().collect();
        let pairs = instance_types.iter().flat_map(|t| subnets.iter().map(move |s| (t, s)));
        let except = pairs.filter(|(t, s)| !is(t, s)).map(|(t, s)| (t.clone(), s.clone())).collect();
        (!instance_types.is_empty()).then_some(Choice { instance_types, subnets, except })
    };
    Offerings { open: choice(Standing::Open), in_doubt: choice(Standing::InDoubt) }
}

/// Remembers that offerings in doubt are being tried, so that nobody else tries them before the outcome is known.
pub fn probing(control: &mut Control, launch: &Launch, now: Timestamp) {
    for (instance_type, subnet) in launch.pairs() {
        if let Some(entry) = control.offerings.get_mut(&name(instance_type, subnet, launch.market)) {
            entry.until = now + PROBE_SECONDS;
        }
    }
}

/// Remembers the outcome of a launch: failed offerings cool down twice as long each time, working ones are forgiven,
/// and what only a person can mend stops launching for a while.
pub fn remember(
    control: &mut Control,
    launch: &Launch,
    launched: &[(String, String)],
    failures: &[LaunchFailure],
    policy: &Policy,
    now: Timestamp,
) {
    if !launched.is_empty() {
        // Whatever stood against it stands no more.
        control.halted = None;
        control.launch_budget = control.launch_budget.after_success();
    }
    for (instance_type, subnet) in launched {
        control.offerings.remove(&name(instance_type, subnet, launch.market));
    }
    for failure in failures {
        let others_work = !launched.is_empty() && failure.offering.is_some();
        match failure.meaning {
            Meaning::NoCapacity | Meaning::Quota => cool(control, launch, failure, policy, now),
            // A type that does not fit the image must not stop the launches of those that do.
            Meaning::NotAllowed | Meaning::Invalid if others_work => cool(control, launch, failure, policy, now),
            Meaning::Throttled => {
                control.launch_budget = control.launch_budget.after_refusal(spread_of(launch, now), now);
            }
            Meaning::NotAllowed | Meaning::Invalid => {
                let why = format!("{}: {}", failure.code, failure.message);
                control.halted = Some(crate::control::Halt { until: now + policy.offering_cooldown_seconds, why });
            }
            _ => {}
        }
    }
    control.offerings.retain(|_, cooling| cooling.until + COOLDOWN_MAX_SECONDS > now);
}

/// A number that differs from pool to pool, so that pools of one account do not come back to EC2 together.
fn spread_of(launch: &Launch, now: Timestamp) -> u64 {
    let template =
        launch.template_id.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    template.wrapping_add(now.0)
}

fn cool(control: &mut Control, launch: &Launch, failure: &LaunchFailure, policy: &Policy, now: Timestamp) {
    let all = || launch.pairs().map(|(t, s)| (t.clone(), s.clone())).collect();
    let named = failure.offering.clone().map_or_else(all, |offering| vec![offering]);
    for (instance_type, subnet) in named {
        let entry = control.offerings.entry(name(&instance_type, &subnet, launch.market)).or_insert(CoolDown {
            until: now,
            failures: 0,
            cause: String::new(),
        });
        let factor = 1_u64 << entry.failures.min(16);
        entry.until = now + (policy.offering_cooldown_seconds * factor).min(COOLDOWN_MAX_SECONDS);
        entry.failures += 1;
        entry.cause.clone_from(&failure.code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        Launch {
            template_id: "lt-1".into(),
            template_version: 1,
            market: Market::Spot,
            instance_types: vec!["t3.medium".into(), "t3a.medium".into()],
            subnets: vec!["subnet-a".into(), "subnet-b".into()],
            except: Vec::new(),
            sessions: 1,
        }
    }

    fn no_capacity(offering: Option<(&str, &str)>) -> LaunchFailure {
        LaunchFailure {
            code: "InsufficientInstanceCapacity".into(),
            message: String::new(),
            meaning: Meaning::NoCapacity,
            offering: offering.map(|(t, s)| (t.to_owned(), s.to_owned())),
        }
    }

    #[test]
    fn a_failed_offering_cools_twice_as_long_each_time_and_success_forgives() {
        let policy = Policy::parse([("POOL_INSTANCE_TYPES", "t3.medium,t3a.medium")]).expect("valid");
        let subnets = launch().subnets;
        let mut control = Control::default();
        let failed = [no_capacity(Some(("t3.medium", "subnet-a")))];
        remember(&mut control, &launch(), &[], &failed, &policy, Timestamp(1000));
        assert_eq!(control.offerings["t3.medium/subnet-a/spot"].until, Timestamp(1180));
        remember(&mut control, &launch(), &[], &failed, &policy, Timestamp(2000));
        assert_eq!(control.offerings["t3.medium/subnet-a/spot"].until, Timestamp(2360));
        let open = |market| offerings(&policy, &subnets[..1], &control, market, Timestamp(2100)).open.expect("some");
        assert_eq!(open(Market::Spot).instance_types, ["t3a.medium"]);
        assert_eq!(open(Market::OnDemand).instance_types.len(), 2, "another market is another offering");
        remember(&mut control, &launch(), &[("t3.medium".into(), "subnet-a".into())], &[], &policy, Timestamp(2400));
        assert!(control.offerings.is_empty());
    }

    #[test]
    fn a_type_that_does_not_fit_stops_only_itself() {
        let policy = Policy::parse([("POOL_INSTANCE_TYPES", "t3.medium,t3a.medium")]).expect("valid");
        let unfit = LaunchFailure { meaning: Meaning::Invalid, ..no_capacity(Some(("t3a.medium", "subnet-a"))) };
        let mut control = Control::default();
        let worked = [("t3.medium".to_owned(), "subnet-a".to_owned())];
        remember(&mut control, &launch(), &worked, std::slice::from_ref(&unfit), &policy, Timestamp(1000));
        assert_eq!((control.halted.is_some(), control.offerings.len()), (false, 1));
        remember(&mut control, &launch(), &[], &[unfit], &policy, Timestamp(2000));
        assert!(control.halted.is_some(), "nothing works, and a person must know why");
    }

    #[test]
    fn an_error_without_an_offering_is_about_all_of_them() {
        let policy = Policy::parse([("POOL_INSTANCE_TYPES", "t3.medium,t3a.medium")]).expect("valid");
        let mut control = Control::default();
        remember(&mut control, &launch(), &[], &[no_capacity(None)], &policy, Timestamp(1000));
        assert_eq!(control.offerings.len(), 4);
        let none = Offerings { open: None, in_doubt: None };
        assert_eq!(offerings(&policy, &launch().subnets, &control, Market::Spot, Timestamp(1001)), none);
    }
}
