//! Which offerings are tried, and what is remembered of those that failed.

use pool_core::control::{Control, CoolDown, Halt};
use pool_core::launch_budget::LaunchBudget;
use pool_core::offering::{Choice, LaunchFailure, Meaning, Offerings, name, offerings, probing, remember};
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
        except: Vec::new(),
        sessions: 1,
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

fn choice(types: &[&str], subnets: &[&str], except: &[(&str, &str)]) -> Choice {
    Choice {
        instance_types: types.iter().map(|&t| t.to_owned()).collect(),
        subnets: subnets.iter().map(|&s| s.to_owned()).collect(),
        except: except.iter().map(|&(t, s)| (t.to_owned(), s.to_owned())).collect(),
    }
}

/// What may be tried of Spot when the cool-downs of these offerings end then.
fn tried(cool: &[(&str, Timestamp)]) -> Offerings {
    let policy = Policy { instance_types: owned(["a.large", "b.large"]), ..policy() };
    let offering = |(name, until): &(&str, Timestamp)| ((*name).to_owned(), cool_down(*until, 1));
    let control = Control { offerings: cool.iter().map(offering).collect(), ..Control::default() };
    offerings(&policy, &owned(["s", "t"]), &control, Market::Spot, NOW)
}

#[test]
fn a_pair_that_cools_is_left_out_and_its_type_and_subnet_only_with_their_last_pair() {
    let open = |cool: &[&str]| {
        let cool: Vec<_> = cool.iter().map(|name| (*name, NOW + 1)).collect();
        let Offerings { open, in_doubt } = tried(&cool);
        assert_eq!(in_doubt, None, "what cools is not in doubt");
        open
    };
    let both = || Some(choice(&["a.large", "b.large"], &["s", "t"], &[]));
    assert_eq!(open(&[]), both());
    assert_eq!(open(&["a.large/s/on-demand", "a.large/t/on-demand"]), both(), "another market is another offering");
    let one = choice(&["a.large", "b.large"], &["s", "t"], &[("a.large", "s")]);
    assert_eq!(open(&["a.large/s/spot"]), Some(one));
    assert_eq!(open(&["a.large/s/spot", "a.large/t/spot"]), Some(choice(&["b.large"], &["s", "t"], &[])));
    assert_eq!(open(&["a.large/s/spot", "b.large/s/spot"]), Some(choice(&["a.large", "b.large"], &["t"], &[])));
    let crossed = choice(&["a.large", "b.large"], &["s", "t"], &[("a.large", "s"), ("b.large", "t")]);
    assert_eq!(open(&["a.large/s/spot", "b.large/t/spot"]), Some(crossed));
    assert_eq!(open(&["a.large/s/spot", "a.large/t/spot", "b.large/s/spot", "b.large/t/spot"]), None);
}

/// It was open again at once before; now nobody knows whether it works again until a single instance was tried.
#[test]
fn an_offering_is_in_doubt_at_the_end_of_its_cool_down() {
    let others = || Some(choice(&["a.large", "b.large"], &["s", "t"], &[("a.large", "s")]));
    for (until, in_doubt) in [(NOW + 1, false), (NOW, true), (NOW - 1, true)] {
        let doubt = in_doubt.then(|| choice(&["a.large"], &["s"], &[]));
        assert_eq!(tried(&[("a.large/s/spot", until)]), Offerings { open: others(), in_doubt: doubt });
    }
    let crossed = choice(&["a.large", "b.large"], &["s", "t"], &[("a.large", "t"), ("b.large", "s")]);
    let tried = tried(&[("a.large/s/spot", NOW), ("b.large/t/spot", NOW), ("b.large/s/spot", NOW + 1)]);
    assert_eq!(tried.in_doubt, Some(crossed));
    assert_eq!(tried.open, Some(choice(&["a.large"], &["t"], &[])));
}

#[test]
fn what_is_being_tried_is_left_alone_for_a_minute_and_nothing_else_is() {
    let names = ["a.large/s/spot", "b.large/t/spot", "a.large/t/spot", "a.large/s/on-demand"];
    let mut control = cooling(names.map(|name| (name, cool_down(NOW - 9, 2))));
    let launch = Launch { except: vec![("a.large".to_owned(), "t".to_owned())], ..launch(Market::Spot) };
    probing(&mut control, &launch, NOW);
    let until = |name: &str| control.offerings[name].until;
    assert_eq!(names.map(until), [NOW + 60, NOW + 60, NOW - 9, NOW - 9]);
    assert_eq!(control.offerings.len(), 4, "what never failed is not remembered for being tried");
    assert_eq!(control.offerings[names[0]].failures, 2, "nor is it forgiven");
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
    for meaning in [Meaning::TokenSpent, Meaning::Unknown, Meaning::WrongState, Meaning::Unclear] {
        let control = after(Control::default(), &[], Some(failure(meaning, Some(("a.large", "s")))));
        assert_eq!(control, Control::default(), "{meaning:?}");
    }
}

/// "Too many requests" is about the account, not about an offering: the launch budget bears it.
#[test]
fn a_refusal_for_coming_too_soon_empties_the_launch_budget_until_a_call_works() {
    let control = after(Control::default(), &[], Some(failure(Meaning::Throttled, Some(("a.large", "s")))));
    let LaunchBudget { calls, counted_at, refusals } = control.launch_budget;
    assert_eq!((calls, refusals, control.offerings.len(), &control.halted), (0, 1, 0, &None));
    assert!((NOW + 4..=NOW + 6).contains(&counted_at), "{counted_at}");
    let again = after(control.clone(), &[], Some(failure(Meaning::Throttled, None))).launch_budget;
    assert!(again.refusals == 2 && (NOW + 8..=NOW + 12).contains(&again.counted_at), "{again:?}");
    let worked = after(control.clone(), &[("a.large", "s")], None).launch_budget;
    assert_eq!(worked, LaunchBudget { refusals: 0, ..control.launch_budget });
    assert_eq!(after(control.clone(), &[], None), control, "nothing was launched");
    let both = after(control, &[("a.large", "s")], Some(failure(Meaning::Throttled, None))).launch_budget;
    assert_eq!(both.refusals, 1, "what was taken before it counts first");
}

#[test]
fn pools_with_other_templates_come_back_to_ec2_at_other_moments() {
    let refused = |template: &str| {
        let launch = Launch { template_id: template.to_owned(), ..launch(Market::Spot) };
        let mut control = Control::default();
        for _ in 0..6 {
            remember(&mut control, &launch, &[], &[failure(Meaning::Throttled, None)], &policy(), NOW);
        }
        control.launch_budget.counted_at
    };
    let moments: std::collections::BTreeSet<_> = ["lt-0", "lt-1", "lt-10", "lt-01", "pool"].map(refused).into();
    assert_eq!(moments.len(), 5, "{moments:?}");
}

#[test]
fn a_failure_is_forgotten_an_hour_after_its_cool_down() {
    for (until, kept) in [(NOW - 3_599, 1), (NOW - 3_600, 0), (NOW - 3_601, 0), (NOW + 1, 1)] {
        let control = after(cooling([("c.large/s/spot", cool_down(until, 1))]), &[], None);
        assert_eq!(control.offerings.len(), kept, "{until}");
    }
}

#[test]
fn a_launch_that_works_ends_a_halt() {
    let halted = Halt { until: NOW + 90, why: "no permission".to_owned() };
    let before = Control { halted: Some(halted), ..Control::default() };
    assert_eq!(after(before.clone(), &[("a.large", "s")], None).halted, None);
    assert_eq!(after(before.clone(), &[], None).halted, before.halted);
}
