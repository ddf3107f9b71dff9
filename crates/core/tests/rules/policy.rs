//! What each variable sets, in which limits, and what follows from the policy.

use pool_core::policy::{AfterRelease, EndpointAddress, Policy, PolicyErrors};
use pool_core::schedule;
use pool_core::shard::{Market, Terms};

use crate::given::{NOW, ann, policy};

fn parse<const N: usize>(variables: [(&str, &str); N]) -> Result<Policy, PolicyErrors> {
    Policy::parse(variables)
}

/// The errors of a policy that is wrong.
#[track_caller]
fn errors<const N: usize>(variables: [(&str, &str); N]) -> Vec<String> {
    parse(variables).expect_err("it is wrong").0
}

fn defaults() -> Policy {
    Policy {
        max_instances: 10,
        min_instances: 0,
        min_available: 1,
        lease_ttl_seconds: 600,
        lease_ttl_max_seconds: 28_800,
        queue_max: 32,
        wait_max_seconds: 300,
        claim_seconds: 30,
        shard_size: 16,
        endpoint_address: EndpointAddress::Private,
        removal_budget_percent: 20,
        reconcile_grace_seconds: 120,
        boot_failure_limit: 3,
        offering_cooldown_seconds: 180,
        idle_threshold_seconds: 600,
        boot_deadline_seconds: 600,
        health_port: 3_000,
        health_path: "/health".to_owned(),
        health_attempts: 30,
        health_interval_seconds: 5,
        heartbeat_seconds: 30,
        heartbeat_misses: 4,
        instance_types: ["t2.medium", "t3.medium", "t3a.medium"].map(str::to_owned).to_vec(),
        on_demand_base: 0,
        spot_percent: 100,
        stopped_size: 0,
        scale_out_cpu_percent: 75,
        scale_out_memory_percent: 80,
        scale_out_period_seconds: 120,
        scale_out_cooldown_seconds: 30,
        scale_in_cooldown_seconds: 300,
        schedule: Vec::new(),
        after_release: AfterRelease::Reuse,
        max_leases_per_instance: 0,
        max_age_seconds: 86_400,
        sessions_per_instance: 1,
    }
}

#[test]
fn a_variable_that_is_not_given_or_empty_has_its_default() {
    assert_eq!(parse([]), Ok(defaults()));
    assert_eq!(parse([("POOL_MAX", ""), ("POOL_AFTER_RELEASE", " "), ("POOL_SCHEDULE", "")]), Ok(defaults()));
    assert_eq!(parse([("MAX", "0"), ("XPOOL_MAX", "0"), ("PATH", "/bin")]), Ok(defaults()), "they are not ours");
}

/// Every numeric variable, its limits, and the field it sets, in the unit of the field.
type Number = (&'static str, u64, u64, fn(&mut Policy) -> &mut u64, u64);

const DAY: u64 = 86_400;

const NUMBERS: [Number; 30] = [
    ("POOL_MAX", 1, 10_000, |policy| &mut policy.max_instances, 1),
    ("POOL_MIN", 0, 10_000, |policy| &mut policy.min_instances, 1),
    ("POOL_MIN_AVAILABLE", 0, 10_000, |policy| &mut policy.min_available, 1),
    ("POOL_LEASE_TTL_SECONDS", 10, 7 * DAY, |policy| &mut policy.lease_ttl_seconds, 1),
    ("POOL_LEASE_TTL_MAX_SECONDS", 10, 30 * DAY, |policy| &mut policy.lease_ttl_max_seconds, 1),
    ("POOL_QUEUE_MAX", 0, 1_000, |policy| &mut policy.queue_max, 1),
    ("POOL_WAIT_MAX_SECONDS", 0, 3_600, |policy| &mut policy.wait_max_seconds, 1),
    ("POOL_CLAIM_SECONDS", 5, 600, |policy| &mut policy.claim_seconds, 1),
    ("POOL_SHARD_SIZE", 1, 64, |policy| &mut policy.shard_size, 1),
    ("POOL_REMOVAL_BUDGET_PERCENT", 1, 100, |policy| &mut policy.removal_budget_percent, 1),
    ("POOL_RECONCILE_GRACE_SECONDS", 30, DAY, |policy| &mut policy.reconcile_grace_seconds, 1),
    ("POOL_BOOT_FAILURE_LIMIT", 1, 1_000, |policy| &mut policy.boot_failure_limit, 1),
    ("POOL_OFFERING_COOLDOWN_SECONDS", 1, 3_600, |policy| &mut policy.offering_cooldown_seconds, 1),
    ("POOL_IDLE_THRESHOLD_MINUTES", 1, 10_080, |policy| &mut policy.idle_threshold_seconds, 60),
    ("POOL_BOOT_DEADLINE_SECONDS", 10, DAY, |policy| &mut policy.boot_deadline_seconds, 1),
    ("POOL_HEALTH_ATTEMPTS", 1, 1_000, |policy| &mut policy.health_attempts, 1),
    ("POOL_HEALTH_INTERVAL_SECONDS", 1, 300, |policy| &mut policy.health_interval_seconds, 1),
    ("POOL_HEARTBEAT_SECONDS", 1, 3_600, |policy| &mut policy.heartbeat_seconds, 1),
    ("POOL_HEARTBEAT_MISSES", 1, 100, |policy| &mut policy.heartbeat_misses, 1),
    ("POOL_ON_DEMAND_BASE", 0, 10_000, |policy| &mut policy.on_demand_base, 1),
    ("POOL_SPOT_PERCENT", 0, 100, |policy| &mut policy.spot_percent, 1),
    ("POOL_STOPPED_SIZE", 0, 10_000, |policy| &mut policy.stopped_size, 1),
    ("POOL_SCALE_OUT_CPU_PERCENT", 1, 100, |policy| &mut policy.scale_out_cpu_percent, 1),
    ("POOL_SCALE_OUT_MEMORY_PERCENT", 1, 100, |policy| &mut policy.scale_out_memory_percent, 1),
    ("POOL_SCALE_OUT_PERIOD_SECONDS", 0, DAY, |policy| &mut policy.scale_out_period_seconds, 1),
    ("POOL_SCALE_OUT_COOLDOWN_SECONDS", 0, DAY, |policy| &mut policy.scale_out_cooldown_seconds, 1),
    ("POOL_SCALE_IN_COOLDOWN_SECONDS", 0, DAY, |policy| &mut policy.scale_in_cooldown_seconds, 1),
    ("POOL_MAX_LEASES_PER_INSTANCE", 0, 1_000_000, |policy| &mut policy.max_leases_per_instance, 1),
    ("POOL_MAX_AGE_HOURS", 1, 8_760, |policy| &mut policy.max_age_seconds, 3_600),
    ("POOL_SESSIONS_PER_INSTANCE", 1, 16, |policy| &mut policy.sessions_per_instance, 1),
];

#[test]
fn each_number_is_read_within_its_limits_into_its_own_field() {
    for (name, least, most, field, unit) in NUMBERS {
        // The others are so wide that no value is at odds with them.
        let wide = [
            ("POOL_MAX", "10000"),
            ("POOL_MIN_AVAILABLE", "0"),
            ("POOL_LEASE_TTL_SECONDS", "10"),
            ("POOL_LEASE_TTL_MAX_SECONDS", "2592000"),
        ];
        let read = |number: u64| {
            let text = number.to_string();
            Policy::parse(wide.into_iter().chain([(name, text.as_str())]))
        };
        let mut expected = parse(wide).expect("valid");
        for number in [least, most] {
            *field(&mut expected) = number * unit;
            assert_eq!(read(number), Ok(expected.clone()), "{name} = {number}");
        }
        let wrong = |number: u64| format!("{name} = \"{number}\": must be a whole number from {least} to {most}");
        for number in [least.checked_sub(1), Some(most + 1)].into_iter().flatten() {
            assert_eq!(read(number).expect_err("out of its limits").0, [wrong(number)]);
        }
    }
}

#[test]
fn several_sessions_go_with_whole_shards_and_without_a_stopped_tier() {
    let sessions = ("POOL_SESSIONS_PER_INSTANCE", "3");
    assert_eq!(errors([sessions]), ["POOL_SHARD_SIZE = 16 is no multiple of POOL_SESSIONS_PER_INSTANCE = 3"]);
    assert_eq!(parse([sessions, ("POOL_SHARD_SIZE", "12"), ("POOL_MIN_AVAILABLE", "30")]).map(|it| it.shards()), Ok(3));
    let beyond = errors([sessions, ("POOL_SHARD_SIZE", "12"), ("POOL_MIN_AVAILABLE", "31")]);
    assert_eq!(beyond, ["POOL_MIN_AVAILABLE = 31 is more than POOL_MAX * POOL_SESSIONS_PER_INSTANCE = 30"]);
    let stopped = errors([("POOL_SESSIONS_PER_INSTANCE", "2"), ("POOL_STOPPED_SIZE", "1")]);
    assert_eq!(stopped, ["POOL_STOPPED_SIZE = 1 goes with POOL_SESSIONS_PER_INSTANCE = 1 alone, and not with 2"]);
}

#[test]
fn a_number_that_is_none_is_named() {
    for text in ["many", "-1", "1.5", "1e3"] {
        let expected = format!("POOL_MAX = \"{text}\": must be a whole number from 1 to 10000");
        assert_eq!(errors([("POOL_MAX", text)]), [expected]);
    }
}

#[test]
fn a_choice_is_one_of_its_words() {
    for (text, after_release) in
        [("reuse", AfterRelease::Reuse), ("reset", AfterRelease::Reset), (" recycle ", AfterRelease::Recycle)]
    {
        assert_eq!(parse([("POOL_AFTER_RELEASE", text)]), Ok(Policy { after_release, ..defaults() }));
    }
    for (text, endpoint_address) in [("private", EndpointAddress::Private), ("public", EndpointAddress::Public)] {
        assert_eq!(parse([("POOL_ENDPOINT_ADDRESS", text)]), Ok(Policy { endpoint_address, ..defaults() }));
    }
    assert_eq!(
        errors([("POOL_AFTER_RELEASE", "Reuse"), ("POOL_ENDPOINT_ADDRESS", "both")]),
        [
            "POOL_ENDPOINT_ADDRESS = \"both\": is private or public",
            "POOL_AFTER_RELEASE = \"Reuse\": is reuse, reset or recycle",
        ]
    );
}

#[test]
fn the_health_check_is_a_port_and_a_path_that_fits_a_shell_word() {
    let policy = parse([("POOL_HEALTH_PORT", "65535"), ("POOL_HEALTH_PATH", "/a-b_c?x=1&y=%20")]).expect("valid");
    assert_eq!((policy.health_port, policy.health_path.as_str()), (65_535, "/a-b_c?x=1&y=%20"));
    assert_eq!(errors([("POOL_HEALTH_PORT", "65536")]).len(), 1);
    for path in ["health", "/a b", "/a'b", "/a\"b", "/a\\b", "/a`b", "/$HOME", "/é"] {
        let expected = format!("POOL_HEALTH_PATH = {path:?}: is a path such as /health, without quotes or spaces");
        assert_eq!(errors([("POOL_HEALTH_PATH", path)]), [expected]);
    }
}

#[test]
fn instance_types_are_a_list_of_names_of_ec2_without_repetition() {
    let of = |text| parse([("POOL_INSTANCE_TYPES", text)]).map(|policy| policy.instance_types);
    assert_eq!(of("t3.medium"), Ok(vec!["t3.medium".to_owned()]));
    assert_eq!(of(" u-6tb1.metal , m7i.2xlarge"), Ok(vec!["u-6tb1.metal".to_owned(), "m7i.2xlarge".to_owned()]));
    for text in ["t3", ".medium", "t3.", "T3.medium", "t3.Medium", "t3_a.medium", "t3.me dium", "t3.medium,", "t3.a.b"]
    {
        let expected = format!("POOL_INSTANCE_TYPES = {text:?}: is a list such as t3.medium,t3a.medium");
        assert_eq!(errors([("POOL_INSTANCE_TYPES", text)]), [expected]);
    }
    let twice = "t3.medium,t3a.medium, t3.medium";
    let expected = format!("POOL_INSTANCE_TYPES = {twice:?}: names a type twice");
    assert_eq!(errors([("POOL_INSTANCE_TYPES", twice)]), [expected]);
}

#[test]
fn a_schedule_is_read_and_each_of_its_errors_is_named() {
    let window = r#"{"cron":"0 8 * * *","timezone":"UTC","duration_minutes":60,"min_available":5}"#;
    let json = format!("[{window},{window}]");
    let schedule = schedule::parse(&json).expect("valid");
    assert_eq!(parse([("POOL_SCHEDULE", &json)]), Ok(Policy { schedule, ..defaults() }));
    let closed = window.replace("60", "0");
    assert_eq!(
        errors([("POOL_SCHEDULE", &format!("[{closed},{window},{closed}]"))]),
        [
            "POOL_SCHEDULE: window 0: duration_minutes 0 is not from 1 to 10080",
            "POOL_SCHEDULE: window 2: duration_minutes 0 is not from 1 to 10080",
        ]
    );
}

#[test]
fn values_that_are_at_odds_are_named_with_both() {
    for name in ["POOL_MIN", "POOL_MIN_AVAILABLE", "POOL_ON_DEMAND_BASE", "POOL_STOPPED_SIZE"] {
        assert!(parse([("POOL_MAX", "5"), (name, "5")]).is_ok(), "{name} may be the cap");
        assert!(parse([("POOL_MAX", "5"), (name, "4")]).is_ok(), "{name} may be below the cap");
        let expected = format!("{name} = 6 is more than POOL_MAX = 5");
        assert_eq!(errors([("POOL_MAX", "5"), (name, "6")]), [expected]);
    }
    let ttl = |ttl| [("POOL_LEASE_TTL_SECONDS", ttl), ("POOL_LEASE_TTL_MAX_SECONDS", "60")];
    assert!(parse(ttl("60")).is_ok());
    assert_eq!(errors(ttl("61")), ["POOL_LEASE_TTL_SECONDS = 61 is more than POOL_LEASE_TTL_MAX_SECONDS = 60"]);
}

#[test]
fn all_errors_are_told_at_once_and_the_same_way_however_they_are_printed() {
    let errors = PolicyErrors(vec!["one".to_owned(), "two".to_owned()]);
    assert_eq!(errors.to_string(), "the policy has 2 error(s):\n  one\n  two");
    assert_eq!(format!("{errors:?}"), errors.to_string());
}

#[test]
fn a_pool_has_as_many_shards_as_its_cap_needs() {
    for (max_instances, shard_size, shards) in [(1, 16, 1), (16, 16, 1), (17, 16, 2), (40, 16, 3), (40, 8, 5)] {
        assert_eq!(Policy { max_instances, shard_size, ..policy() }.shards(), shards);
    }
}

#[test]
fn a_lease_ends_at_its_hard_end_at_the_latest() {
    let terms = |ttl_seconds| Policy { lease_ttl_max_seconds: 900, ..policy() }.lease_terms(&ann(), ttl_seconds, NOW);
    let hard_end = NOW + 900;
    assert_eq!(terms(600), Terms { owner: ann(), until: NOW + 600, hard_end, ttl_seconds: 600 });
    assert_eq!(terms(901), Terms { owner: ann(), until: NOW + 900, hard_end, ttl_seconds: 901 });
}

#[test]
fn a_lease_that_is_handed_over_at_the_last_moment_of_a_wait_can_live_its_whole_life() {
    let terms = Policy { lease_ttl_max_seconds: 900, ..policy() }.wait_terms(&ann(), 600, 70, NOW);
    // However short the wait is, the hard end is that of the longest one.
    assert_eq!(terms, Terms { owner: ann(), until: NOW + 70, hard_end: NOW + 1_200, ttl_seconds: 600 });
}

#[test]
fn the_terms_of_a_wait_tell_when_it_began() {
    let policy = Policy { lease_ttl_max_seconds: 900, ..policy() };
    for seconds in [0, 70, 300] {
        assert_eq!(policy.waiting_since(&policy.wait_terms(&ann(), 600, seconds, NOW)), NOW, "{seconds} s");
    }
    let longer = policy.wait_terms(&ann(), 600, 301, NOW);
    assert_eq!(longer.hard_end, NOW + 1_201, "a lease can live its whole life even then");
}

#[test]
fn the_next_instance_is_of_the_market_that_keeps_base_and_share() {
    use Market::{OnDemand, Spot};
    for (base, percent, on_demand, spot, next) in [
        (2, 50, 0, 0, OnDemand),
        (2, 50, 1, 9, OnDemand),
        (2, 50, 2, 0, Spot),
        (2, 50, 2, 1, OnDemand),
        (2, 50, 3, 1, Spot),
        (2, 25, 2, 0, Spot),
        (2, 25, 4, 1, OnDemand),
        (2, 25, 5, 1, Spot),
        (2, 0, 2, 0, OnDemand),
        (2, 100, 2, 7, Spot),
        (0, 100, 0, 0, Spot),
    ] {
        let policy = Policy { on_demand_base: base, spot_percent: percent, ..policy() };
        let told = format!("{percent} % Spot above {base}, given {on_demand} and {spot}");
        assert_eq!(policy.market_for(on_demand, spot), next, "{told}");
    }
}

#[test]
fn a_node_is_silent_after_as_many_missed_heartbeats_as_may_be() {
    let policy = Policy { heartbeat_seconds: 7, heartbeat_misses: 5, ..policy() };
    assert_eq!(policy.silence_limit_seconds(), 35);
}
