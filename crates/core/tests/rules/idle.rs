//! Which of the instances that nobody needs go, in which order, and when use is low enough for that.

use pool_core::control::Control;
use pool_core::ids::InstanceId;
use pool_core::node::InstanceRecord;
use pool_core::policy::Policy;
use pool_core::reap_idle::{Ec2Word, plan};
use pool_core::shard::{Market, Shard};
use pool_core::snapshot::Snapshot;
use pool_core::utilisation::Utilisation;

use crate::given::{Given, NOW, beat, instance, policy, seen, shard};

/// A policy that keeps so many free, may remove everything else at once, and names two types.
fn keeping(min_available: u64) -> Policy {
    let instance_types = ["a.large", "b.large"].map(str::to_owned).to_vec();
    Policy { removal_budget_percent: 100, min_available, max_instances: 100, instance_types, ..policy() }
}

/// The instances that are removed, in order, while every node beats.
fn removed_under(control: &Control, shards: &[Shard], policy: &Policy) -> Vec<InstanceId> {
    let members = shards.iter().flat_map(|shard| shard.members.keys().cloned());
    let records: Vec<_> = members.map(|instance| InstanceRecord { instance, ..beat(0, NOW, true) }).collect();
    let plan = plan(Snapshot { records: &records, ..seen(shards, control, policy) }, &Ec2Word::default());
    plan.removals.into_iter().map(|removal| removal.instance).collect()
}

fn removed(shards: &[Shard], policy: &Policy) -> Vec<InstanceId> {
    removed_under(&Control::default(), shards, policy)
}

fn instances<const N: usize>(numbers: [u64; N]) -> Vec<InstanceId> {
    numbers.into_iter().map(instance).collect()
}

/// One more word for a shard.
trait Idle: Given {
    /// Free for so many seconds.
    fn idle(self, n: u64, seconds: u64) -> Self {
        self.free(n).since(n, NOW - seconds)
    }

    fn of_type(self, n: u64, instance_type: &str) -> Self {
        self.with(|shard| {
            instance_type.clone_into(&mut shard.members.get_mut(&instance(n)).expect("a member").kind.instance_type);
        })
    }

    /// In another zone than the others.
    fn elsewhere(self, n: u64, zone: &str) -> Self {
        self.with(|shard| zone.clone_into(&mut shard.members.get_mut(&instance(n)).expect("a member").kind.zone))
    }
}

impl Idle for Shard {}

#[test]
fn the_most_expensive_goes_first_and_of_equals_the_oldest() {
    let spot = shard(7).idle(1, 900).of_type(1, "a.large").idle(2, 800).of_type(2, "b.large").idle(3, 700);
    let spot = spot.of_type(3, "c.large").idle(7, 901).of_type(7, "a.large");
    // A kind on demand is named whole, so the type comes after it.
    let on_demand = shard(8).idle(4, 650).on_demand(4).of_type(4, "a.large").idle(5, 640).on_demand(5);
    let on_demand = on_demand.of_type(5, "b.large").idle(6, 630).on_demand(6).of_type(6, "c.large");
    let order = removed(&[spot, on_demand], &keeping(0));
    assert_eq!(order, instances([6, 5, 4, 3, 2, 7, 1]), "on demand first, and a type the sooner the later it is named");
}

#[test]
fn of_those_that_are_alike_in_everything_the_shard_and_the_name_decide() {
    let shards = [shard(8).idle(1, 700).idle(3, 700), shard(7).idle(4, 700).idle(2, 700)];
    assert_eq!(removed(&shards, &keeping(0)), instances([2, 4, 1, 3]));
}

/// Three idle Spot instances in one zone, the first of them the oldest.
fn three() -> Shard {
    shard(7).idle(1, 700).idle(2, 690).idle(3, 680).of_type(1, "a.large").of_type(2, "a.large").of_type(3, "a.large")
}

#[test]
fn they_go_from_the_zone_that_has_most_whatever_they_cost() {
    let shards = [three(), shard(8).idle(4, 900).on_demand(4).elsewhere(4, "b")];
    assert_eq!(removed(&shards, &keeping(3)), instances([1]), "three here and one there");
    assert_eq!(removed(&shards, &keeping(2)), instances([1, 2]), "two here and one there");
    assert_eq!(removed(&shards, &keeping(1)), instances([1, 2, 4]), "then there is one in each");
}

#[test]
fn of_zones_that_have_as_many_the_most_expensive_goes() {
    let shards = [three(), shard(8).idle(4, 601).on_demand(4).elsewhere(4, "b").idle(5, 900).elsewhere(5, "b")];
    assert_eq!(removed(&shards, &keeping(4)), instances([1]), "three here and two there");
    assert_eq!(removed(&shards, &keeping(3)), instances([1, 4]), "then there are two in each");
}

#[test]
fn the_steps_that_were_taken_for_busy_nodes_are_kept() {
    let shards = [three()];
    let busy = |extra| {
        let utilisation = Utilisation { extra, ..Utilisation::default() };
        removed_under(&Control { utilisation, ..Control::default() }, &shards, &keeping(1))
    };
    assert_eq!([0, 1, 2].map(busy), [instances([1, 2]), instances([1]), instances([])]);
}

#[test]
fn a_zone_has_as_many_as_serve_or_will_serve_there() {
    let there = || shard(8).idle(4, 601).on_demand(4).elsewhere(4, "b");
    let busy = there().held(5, 1).elsewhere(5, "b").booting(6).elsewhere(6, "b");
    assert_eq!(removed(&[three(), busy], &keeping(3)), instances([4]), "three here and three there");
    let leaves = there().held(5, 1).elsewhere(5, "b").leaving(5, NOW + 9);
    let gone = leaves.stopped(6).elsewhere(6, "b").stopped(7).elsewhere(7, "b");
    assert_eq!(removed(&[three(), gone], &keeping(3)), instances([1]), "three here and one there");
}

#[test]
fn a_zone_in_which_nothing_is_idle_says_nothing_about_the_others() {
    let busy = (10..=19).fold(shard(9), |shard, n| shard.held(n, n.to_le_bytes()[0]).elsewhere(n, "c"));
    let shards = [three(), shard(8).idle(4, 900).on_demand(4).elsewhere(4, "b"), busy];
    assert_eq!(removed(&shards, &keeping(2)), instances([1, 2]));
    assert_eq!(removed(&shards, &keeping(0)).len(), 4);
}

#[test]
fn nothing_goes_soon_after_the_pool_has_grown() {
    let after = |seconds| {
        let control = Control { scaled_out_at: NOW - seconds, ..Control::default() };
        removed_under(&control, &[three()], &keeping(2))
    };
    assert_eq!((after(299), after(300)), (instances([]), instances([1])));
}

/// The threshold is a minute here and the scale-in cool-down is five.
#[test]
fn use_is_low_when_more_than_enough_was_free_for_the_whole_cool_down() {
    let policy = Policy { idle_threshold_seconds: 60, ..keeping(1) };
    let of = |seconds| removed(&[shard(7).idle(1, 900).idle(2, seconds)], &policy);
    assert_eq!(of(299), [], "only one was free all the time, and one is kept");
    assert_eq!(of(300), instances([1]));
    let all = Policy { min_available: 0, ..policy };
    assert_eq!(removed(&[shard(7).idle(1, 900).idle(2, 299)], &all), instances([1]));
}

#[test]
fn what_is_not_idle_for_longer_than_the_threshold_stays_though_use_is_low() {
    let policy = Policy { scale_in_cooldown_seconds: 0, ..keeping(0) };
    assert_eq!(removed(&[shard(7).idle(1, 600).idle(2, 601)], &policy), instances([2]));
}

#[test]
fn nothing_goes_while_a_request_stands_in_a_queue_even_one_that_waited_in_vain() {
    let in_vain = shard(8).waiting(1).waits_until(1, NOW - 1);
    assert_eq!(removed(&[three(), in_vain], &keeping(0)), []);
}

#[test]
fn no_more_go_than_leave_the_least_that_must_be_there() {
    let shards = [three().stopped(8).stopping(9).booting(4)];
    let least = |min_instances| removed(&shards, &Policy { min_instances, ..keeping(0) }).len();
    assert_eq!([1, 2, 3, 4, 5].map(least), [3, 2, 1, 0, 0], "a boot will serve, and what is stopped does not");
}

#[test]
fn no_more_go_in_one_run_than_the_removal_budget_allows() {
    let ten = (1..=10).fold(shard(7), |shard, n| shard.idle(n, 800 - n));
    let policy = Policy { removal_budget_percent: 20, ..keeping(0) };
    assert_eq!(removed(std::slice::from_ref(&ten), &policy), instances([1, 2]));
    // A boot that was late has taken its part of the budget.
    let late = ten.booting(11).since(11, NOW - 601);
    assert_eq!(removed(&[late], &policy), instances([11, 1]));
}

/// What the urgent removals take is not there any more when the idle ones are counted.
#[test]
fn what_a_run_has_removed_already_serves_no_zone() {
    let unwell = [InstanceRecord { healthy: false, ..beat(4, NOW, true) }];
    let two_zones = three().idle(4, 700).elsewhere(4, "b").idle(5, 900).on_demand(5).elsewhere(5, "b");
    let beats = [1, 2, 3, 5].map(|n| beat(n, NOW, true));
    let records: Vec<_> = beats.into_iter().chain(unwell).collect();
    let (shards, control, policy) = ([two_zones], Control::default(), keeping(3));
    let plan = plan(Snapshot { records: &records, ..seen(&shards, &control, &policy) }, &Ec2Word::default());
    let order: Vec<_> = plan.removals.into_iter().map(|removal| removal.instance).collect();
    assert_eq!(order, instances([4, 1]), "three here and one there");
}

#[test]
fn the_market_counts_before_the_type() {
    let shards = [shard(7).idle(1, 700).of_type(1, "b.large").idle(2, 700).on_demand(2).of_type(2, "a.large")];
    assert_eq!(shards[0].members[&instance(2)].kind.market, Market::OnDemand);
    assert_eq!(removed(&shards, &keeping(1)), instances([2]));
}

#[test]
fn what_is_kept_free_fits_below_a_cap_that_has_become_smaller() {
    let capped = |cap, min_available, min_instances| {
        let policy = Policy { max_instances: cap, min_instances, ..keeping(min_available) };
        removed(&[three().held(4, 1)], &policy)
    };
    assert_eq!(capped(4, 3, 0), instances([]));
    assert_eq!(capped(3, 3, 0), instances([1]));
    assert_eq!(capped(2, 3, 4), instances([1, 2]), "nor does the least number of instances stand above it");
    assert_eq!(capped(1, 3, 0), instances([1, 2, 3]), "one is leased");
}

#[test]
fn leased_ones_beyond_the_cap_leave_after_their_leases_even_while_others_wait() {
    let busy = || shard(7).held(1, 1).held(2, 2).held(3, 3).since(2, NOW - 900).since(3, NOW - 800).waiting(4);
    let capped = |cap| {
        let policy = Policy { max_instances: cap, ..keeping(0) };
        let (shards, control) = ([busy()], Control::default());
        let records: Vec<_> = [1, 2, 3].map(|n| beat(n, NOW, true)).into();
        let plan = plan(Snapshot { records: &records, ..seen(&shards, &control, &policy) }, &Ec2Word::default());
        plan.removals.into_iter().map(|one| (one.instance, one.why)).collect::<Vec<_>>()
    };
    let why = |cap: u64| format!("the cap is {cap}, and more are leased");
    assert_eq!((capped(9), capped(3)), (Vec::new(), Vec::new()));
    assert_eq!(capped(2), [(instance(2), why(2))], "the oldest lease first");
    assert_eq!(capped(1), [(instance(2), why(1)), (instance(3), why(1))]);
    let leaving = busy().leaving(1, NOW + 9);
    let policy = Policy { max_instances: 2, ..keeping(0) };
    assert_eq!(removed(&[leaving], &policy), instances([]), "one leaves already");
}
