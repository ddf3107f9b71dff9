//! Which offerings are tried, and what is remembered of those that failed.

use pool_core::control::{Control, CoolDown, Halt};
use pool_core::offering::{LaunchFailure, Meaning, name, open_offerings, remember};
use pool_core::policy::Policy;
use pool_core::shard::{Launch, Market};
use pool_core::time::Timestamp;

use crate::given::{NOW, policy};

fn owned<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

fn launch(market: Market) -> Launch {
    Launch {
        template_id: "lt-1".to_owned(),
        template_version: 1,
        market,
        instance_types: owned(["a.large", "b.large"]),
        subnets: owned(["s", "t"]),
    }
}

fn failure(meaning: Meaning, offering: Option<(&str, &str)>) -> LaunchFailure {
    LaunchFailure {
        code: "TheCode".to_owned(),
        message: "what EC2 says".to_owned(),
        meaning,
        offering: offering.map(|(t, s)| (t.to_owned(), s.to_owned())),
    }
}

fn cool_down(until: Timestamp, failures: u32) -> CoolDown {
    CoolDown { until, failures, cause: "TheCode".to_owned() }
}

fn cooling<const N: usize>(offerings: [(&str, CoolDown); N]) -> Control {
    let offerings = offerings.into_iter().map(|(name, cool_down)| (name.to_owned(), cool_down)).collect();
    Control { offerings, ..Control::default() }
}

/// What is remembered of a Spot launch.
fn after(mut control: Control, launched: &[(&str, &str)], failure: Option<LaunchFailure>) -> Control {
    let launched: Vec<_> = launched.iter().map(|(t, s)| ((*t).to_owned(), (*s).to_owned())).collect();
    let failures: Vec<_> = failure.into_iter().collect();
    remember(&mut control, &launch(Market::Spot), &launched, &failures, &policy(), NOW);
    control
}

#[test]
fn an_offering_is_named_by_type_subnet_and_market() {
    assert_eq!(name("a.large", "s", Market::Spot), "a.large/s/spot");
    assert_eq!(name("a.large", "s", Market::OnDemand), "a.large/s/on-demand");
}

#[test]
fn a_type_stays_open_while_one_of_its_subnets_does_and_the_reverse() {
    let policy = Policy { instance_types: owned(["a.large", "b.large"]), ..policy() };
    let open = |cool: &[&str]| {
        let control = Control {
            offerings: cool.iter().map(|name| ((*name).to_owned(), cool_down(NOW + 1, 1))).collect(),
            ..Control::default()
        };
        open_offerings(&policy, &owned(["s", "t"]), &control, Market::Spot, NOW)
    };
    let both = (owned(["a.large", "b.large"]), owned(["s", "t"]));
    assert_eq!(open(&[]), both);
    assert_eq!(open(&["a.large/s/spot"]), both);
    assert_eq!(open(&["a.large/s/on-demand", "a.large/t/on-demand"]), both, "another market is another offering");
    assert_eq!(open(&["a.large/s/spot", "a.large/t/spot"]), (owned(["b.large"]), owned(["s", "t"])));
    assert_eq!(open(&["a.large/s/spot", "b.large/s/spot"]), (owned(["a.large", "b.large"]), owned(["t"])));
    let all = ["a.large/s/spot", "a.large/t/spot", "b.large/s/spot", "b.large/t/spot"];
    assert_eq!(open(&all), (Vec::new(), Vec::new()));
}

#[test]
fn an_offering_is_open_again_at_the_end_of_its_cool_down() {
    let policy = Policy { instance_types: owned(["a.large"]), ..policy() };
    for (until, open) in [(NOW + 1, false), (NOW, true), (NOW - 1, true)] {
        let control = cooling([("a.large/s/spot", cool_down(until, 1))]);
        let (types, subnets) = open_offerings(&policy, &owned(["s"]), &control, Market::Spot, NOW);
        assert_eq!((types.is_empty(), subnets.is_empty()), (!open, !open));
    }
}

#[test]
fn each_failure_in_a_row_doubles_the_cool_down_up_to_an_hour() {
    for meaning in [Meaning::NoCapacity, Meaning::Quota] {
        let first = after(Control::default(), &[], Some(failure(meaning, Some(("a.large", "s")))));
        assert_eq!(first, cooling([("a.large/s/spot", cool_down(NOW + 180, 1))]));
    }
    for (failures, seconds) in [(1, 360), (2, 720), (3, 1_440), (4, 2_880), (5, 3_600), (40, 3_600)] {
        let control = cooling([("a.large/s/spot", cool_down(NOW, failures))]);
        let again = after(control, &[], Some(failure(Meaning::NoCapacity, Some(("a.large", "s")))));
        assert_eq!(again, cooling([("a.large/s/spot", cool_down(NOW + seconds, failures + 1))]));
    }
}

#[test]
fn the_cause_is_that_of_the_last_failure() {
    let other = LaunchFailure { code: "Other".to_owned(), ..failure(Meaning::Quota, Some(("a.large", "s"))) };
    let control = after(cooling([("a.large/s/spot", cool_down(NOW, 1))]), &[], Some(other));
    assert_eq!(control.offerings["a.large/s/spot"].cause, "Other");
}

#[test]
fn a_failure_that_names_no_offering_is_one_of_all() {
    let control = after(Control::default(), &[], Some(failure(Meaning::NoCapacity, None)));
    let each = || cool_down(NOW + 180, 1);
    let names = ["a.large/s/spot", "a.large/t/spot", "b.large/s/spot", "b.large/t/spot"];
    assert_eq!(control, cooling(names.map(|name| (name, each()))));
}

#[test]
fn what_was_launched_is_forgiven_in_its_own_market() {
    let names = ["a.large/s/spot", "a.large/s/on-demand", "a.large/t/spot"];
    let control = after(cooling(names.map(|name| (name, cool_down(NOW + 9, 1)))), &[("a.large", "s")], None);
    assert_eq!(control, cooling([names[1], names[2]].map(|name| (name, cool_down(NOW + 9, 1)))));
}

#[test]
fn what_only_a_person_can_mend_halts_launching_unless_others_work() {
    let halted = Some(Halt { until: NOW + 180, why: "TheCode: what EC2 says".to_owned() });
    let halted = Control { halted, ..Control::default() };
    let cools = cooling([("a.large/s/spot", cool_down(NOW + 180, 1))]);
    let worked: &[_] = &[("b.large", "t")];
    for meaning in [Meaning::NotAllowed, Meaning::Invalid] {
        let of = |launched, offering| after(Control::default(), launched, Some(failure(meaning, offering)));
        assert_eq!(of(&[], None), halted);
        assert_eq!(of(&[], Some(("a.large", "s"))), halted);
        assert_eq!(of(worked, None), halted);
        assert_eq!(of(worked, Some(("a.large", "s"))), cools, "it stops only itself");
    }
}

#[test]
fn what_says_nothing_about_an_offering_is_not_held_against_it() {
    for meaning in [Meaning::Throttled, Meaning::TokenSpent, Meaning::Unknown, Meaning::WrongState, Meaning::Unclear] {
        let control = after(Control::default(), &[], Some(failure(meaning, Some(("a.large", "s")))));
        assert_eq!(control, Control::default(), "{meaning:?}");
    }
}

#[test]
fn a_failure_is_forgotten_an_hour_after_its_cool_down() {
    for (until, kept) in [(NOW - 3_599, 1), (NOW - 3_600, 0), (NOW - 3_601, 0), (NOW + 1, 1)] {
        let control = after(cooling([("c.large/s/spot", cool_down(until, 1))]), &[], None);
        assert_eq!(control.offerings.len(), kept, "{until}");
    }
}
