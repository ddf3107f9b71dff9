//! Instances that serve several sessions: whole ones are launched, and their slots leave and end together.

use pool_core::control::Control;
use pool_core::ids::InstanceId;
use pool_core::node::InstanceRecord;
use pool_core::on_instance_state_change::{Fact, next};
use pool_core::policy::Policy;
use pool_core::price;
use pool_core::reap_idle::{self, Ec2Instance, Ec2State, Ec2Word};
use pool_core::scale;
use pool_core::shard::{Member, Shard, Transition};
use pool_core::snapshot::Snapshot;
use pool_core::time::Timestamp;

use crate::given::{
    Given, LEASE_EPOCH, NOW, beat, control, found, instance, keeping, lease_terms, leaves, member, seen, shard,
    template, token,
};

/// Slot `k` of instance `n`.
fn slot(n: u64, k: usize) -> InstanceId {
    instance(n).slots(16).nth(k - 1).expect("there are sixteen")
}

fn of_two(policy: Policy) -> Policy {
    Policy { sessions_per_instance: 2, removal_budget_percent: 100, ..policy }
}

/// Slots in a shard.
trait Slots: Given {
    fn slot_member(self, id: InstanceId, since: Timestamp) -> Self {
        self.with(|shard| drop(shard.members.insert(id, Member { since, ..member(1) })))
    }

    fn slot_free(self, id: InstanceId, seconds: u64) -> Self {
        self.slot_member(id.clone(), NOW - seconds).with(|shard| shard.free.push(id))
    }

    fn slot_held(self, id: InstanceId, of: u8) -> Self {
        self.slot_member(id.clone(), NOW - 700).with(|shard| {
            shard.leases.insert(token(of), id);
            shard.lease_epochs.insert(token(of), LEASE_EPOCH);
            shard.lease_terms.insert(token(of), lease_terms());
        })
    }

    fn slot_leaving(self, id: InstanceId) -> Self {
        self.with(|shard| {
            shard.free.retain(|free| *free != id);
            shard.leaving.insert(id, leaves(NOW));
        })
    }
}

impl Slots for Shard {}

fn plan(shards: &[Shard], policy: &Policy, ec2: &Ec2Word) -> Vec<InstanceId> {
    let members = shards.iter().flat_map(|shard| shard.members.keys().cloned());
    let records: Vec<_> = members.map(|instance| InstanceRecord { instance, ..beat(0, NOW, true) }).collect();
    let control = Control::default();
    let seen = Snapshot { records: &records, ..seen(shards, &control, policy) };
    reap_idle::plan(seen, ec2).removals.into_iter().map(|removal| removal.instance).collect()
}

/// EC2 lists both slots of instance 1.
fn both(state: Ec2State) -> Ec2Word {
    let of = |id: InstanceId| (id.clone(), Ec2Instance { instance: id, ..found(1, state) });
    Ec2Word { listed: [of(slot(1, 1)), of(slot(1, 2))].into(), ..Ec2Word::default() }
}

#[test]
fn slots_are_named_after_their_instance() {
    assert_eq!(slot(1, 1), instance(1));
    assert_eq!(slot(1, 2).as_str(), format!("{}-2", instance(1)));
    assert_eq!(slot(1, 16).machine(), instance(1));
    assert!(slot(1, 1).is_first_slot() && !slot(1, 2).is_first_slot());
    assert_eq!(slot(1, 3).slots(2).collect::<Vec<_>>(), [slot(1, 1), slot(1, 2)]);
}

#[test]
fn what_is_missing_is_launched_in_whole_instances() {
    // Three wait and one is kept free: four sessions are two instances, five would be three.
    let control = control();
    for (kept, instances) in [(1, 2), (2, 3)] {
        let policy = of_two(keeping(kept));
        let shards = [shard(7).waiting(1).waiting(2).waiting(3).with(|shard| shard.room = 16)];
        let plan = scale::plan(seen(&shards, &control, &policy), &template(), "pool");
        let count: u64 = plan.launches.iter().map(|launch| launch.intent.count).sum();
        assert_eq!(count, 2 * instances, "{}", plan.why);
        assert!(plan.launches.iter().all(|launch| launch.intent.launch.sessions == 2));
    }
}

#[test]
fn a_room_that_no_whole_instance_fits_stays_empty() {
    let (control, policy) = (control(), of_two(keeping(9)));
    let shards = [shard(7).with(|shard| shard.room = 5), shard(8).with(|shard| shard.room = 1)];
    let plan = scale::plan(seen(&shards, &control, &policy), &template(), "pool");
    let launched: Vec<_> = plan.launches.iter().map(|launch| (launch.shard, launch.intent.count)).collect();
    assert_eq!(launched, [(7, 4)]);
}

#[test]
fn a_slot_leaves_when_another_of_its_machine_does() {
    let policy = of_two(keeping(9));
    let shards = [
        shard(7).slot_free(slot(1, 1), 10).slot_leaving(slot(1, 1)).slot_free(slot(3, 1), 10),
        shard(8).slot_free(slot(1, 2), 10),
    ];
    assert_eq!(plan(&shards, &policy, &Ec2Word::default()), [slot(1, 2)]);
    let leased = [shard(7).slot_free(slot(1, 1), 10).slot_leaving(slot(1, 1)), shard(8).slot_held(slot(1, 2), 1)];
    assert_eq!(plan(&leased, &policy, &Ec2Word::default()), [slot(1, 2)], "it leaves after its lease");
    let alone = [shard(7).slot_free(instance(1), 10).slot_leaving(instance(1)).slot_free(instance(2), 10)];
    assert_eq!(plan(&alone, &policy, &Ec2Word::default()), []);
}

#[test]
fn a_machine_ends_when_all_its_slots_leave_and_none_bears_a_lease() {
    let (control, policy) = (Control::default(), of_two(keeping(0)));
    let ending = |shards: &[Shard], control: &Control| -> Vec<InstanceId> {
        let ending = reap_idle::to_terminate(seen(shards, control, &policy), &both(Ec2State::Running));
        ending.into_iter().map(|(_, instance, _)| instance).collect()
    };
    let first = || shard(7).slot_free(slot(1, 1), 10).slot_leaving(slot(1, 1));
    assert_eq!(ending(&[first(), shard(8).slot_free(slot(1, 2), 10)], &control), [], "the other one stays");
    let marked = || {
        shard(8).slot_held(slot(1, 2), 1).with(|shard| {
            shard.leaving.insert(slot(1, 2), leaves(Timestamp::NEVER));
        })
    };
    assert_eq!(ending(&[first(), marked()], &control), [], "the other one is leased");
    let gone = || shard(8).slot_free(slot(1, 2), 10).slot_leaving(slot(1, 2));
    assert_eq!(ending(&[first(), gone()], &control), [slot(1, 1), slot(1, 2)]);
    let late = marked().with(|shard| {
        shard.leaving.insert(slot(1, 2), leaves(NOW));
    });
    assert_eq!(ending(&[first(), late], &control), [slot(1, 1), slot(1, 2)], "EC2 takes it whatever it bears");
    let kept = pool_core::operate::cordoned(&control, &slot(1, 2), Some("look"), NOW).expect("there is room");
    assert_eq!(ending(&[first(), gone()], &kept), [], "the operator keeps it");
}

#[test]
fn what_is_idle_goes_by_whole_machines() {
    let policy = of_two(keeping(0));
    let idle = || shard(7).slot_free(slot(1, 1), 900).slot_free(slot(1, 2), 700);
    assert_eq!(plan(&[idle()], &policy, &Ec2Word::default()), [slot(1, 1), slot(1, 2)]);
    let used = [shard(7).slot_free(slot(1, 1), 900).slot_held(slot(1, 2), 1)];
    assert_eq!(plan(&used, &policy, &Ec2Word::default()), []);
    let fresh = [shard(7).slot_free(slot(1, 1), 900).slot_free(slot(1, 2), 301)];
    assert_eq!(plan(&fresh, &policy, &Ec2Word::default()), [], "one was used a moment ago");
    let keeps_one = of_two(keeping(1));
    assert_eq!(plan(&[idle()], &keeps_one, &Ec2Word::default()), [], "half a machine cannot go");
    let two = [idle().slot_free(slot(2, 1), 800).slot_free(slot(2, 2), 800)];
    assert_eq!(
        plan(&two, &keeps_one, &Ec2Word::default()),
        [slot(2, 1), slot(2, 2)],
        "the one that was not used for longest"
    );
}

#[test]
fn an_orphan_is_judged_by_its_first_slot() {
    let policy = of_two(keeping(0));
    let orphans = |shards: &[Shard]| reap_idle::orphans(shards, &both(Ec2State::Running), &policy, NOW);
    let unknown = orphans(&[shard(7)]);
    assert_eq!(unknown.iter().map(|orphan| orphan.found.instance.clone()).collect::<Vec<_>>(), [slot(1, 1)]);
    let full = shard(7).with(|shard| shard.room = 0);
    assert!(matches!(reap_idle::judge_orphan(&unknown[0], &full, 9, NOW), Some(Transition::Doom { .. })));

    // Half of it was taken in: the other half is, too, or is left alone.
    let half = orphans(&[shard(7).slot_free(slot(1, 1), 10)]);
    assert_eq!(half.iter().map(|orphan| orphan.found.instance.clone()).collect::<Vec<_>>(), [slot(1, 2)]);
    assert!(matches!(reap_idle::judge_orphan(&half[0], &shard(7), 9, NOW), Some(Transition::AdoptOrphan { .. })));
    assert_eq!(reap_idle::judge_orphan(&half[0], &full, 9, NOW), None);
}

#[test]
fn an_event_of_the_instance_is_one_of_each_slot() {
    let before = shard(7).slot_held(slot(1, 2), 1);
    let takes_at = NOW + 120;
    let fact = Fact::SpotWarning { takes_at }.of_slot(&slot(1, 2));
    let Some(Transition::Mark { instance, leaving }) = next(&before, &slot(1, 2), &fact, NOW) else {
        panic!("it is marked")
    };
    assert_eq!((instance, leaving.deadline), (slot(1, 2), takes_at));
    let told = Ec2Instance { address: "10.9.9.9".to_owned(), ..found(1, Ec2State::Running) };
    let running = Fact::Running(told).of_slot(&slot(1, 2));
    let Some(Transition::Locate { instance, .. }) = next(&before, &slot(1, 2), &running, NOW) else {
        panic!("it has moved")
    };
    assert_eq!(instance, slot(1, 2));
}

#[test]
fn an_instance_is_paid_once() {
    let one = price::pool_usd_per_hour(&[shard(7).slot_free(slot(1, 1), 10)]);
    let two = price::pool_usd_per_hour(&[shard(7).slot_free(slot(1, 1), 10), shard(8).slot_free(slot(1, 2), 10)]);
    assert!(one > 0.0 && (one - two).abs() < 1e-9, "{one}, {two}");
}
