//! What EC2 has and no shard knows, what the shards know and EC2's list lacks, and which tombstones may be forgotten.

use std::collections::HashMap;

use pool_core::ids::{InstanceId, LaunchToken, NodeKey};
use pool_core::policy::Policy;
use pool_core::reap_idle::{Ec2Instance, Ec2State, Ec2Word, Orphan, forgettable, judge_orphan, orphans, unlisted};
use pool_core::shard::{Fate, Member, Shard, Transition};

use crate::given::{Given, NOW, found, instance, launch_token, policy, shard, transfer_id};

fn listed(found: &Ec2Instance) -> HashMap<InstanceId, Ec2Instance> {
    [(found.instance.clone(), found.clone())].into()
}

/// The orphans when EC2 lists just this one.
fn orphans_of(found: &Ec2Instance, shards: &[Shard], policy: &Policy) -> Vec<Orphan> {
    orphans(shards, &Ec2Word { listed: listed(found), ..Ec2Word::default() }, policy, NOW)
}

#[test]
fn members_that_the_list_lacks_are_asked_for() {
    let shards = [shard(7).free(1).held(2, 1), shard(8).booting(3)];
    let ec2 = Ec2Word { listed: listed(&found(2, Ec2State::Running)), ..Ec2Word::default() };
    assert_eq!(unlisted(&shards, &ec2), [instance(1), instance(3)]);
    assert_eq!(unlisted(&[], &Ec2Word::default()), []);
}

#[test]
fn a_living_instance_that_nobody_knows_is_an_orphan_of_the_shard_of_its_tag() {
    let shards = [shard(6).free(2), shard(7).intending(2, 1)];
    for state in [Ec2State::Pending, Ec2State::Running, Ec2State::Stopped] {
        let found = found(1, state);
        assert_eq!(orphans_of(&found, &shards, &policy()), [Orphan { shard: 7, buried: false, shared: false, found }]);
    }
    for state in [Ec2State::Stopping, Ec2State::ShuttingDown, Ec2State::Terminated] {
        assert_eq!(orphans_of(&found(1, state), &shards, &policy()), [], "{state:?}");
    }
    for shard in [None, Some(9)] {
        let found = Ec2Instance { shard, ..found(1, Ec2State::Running) };
        assert_eq!(orphans_of(&found, &shards, &policy())[0].shard, 0, "no such shard: the first one judges");
    }
}

#[test]
fn a_member_and_an_instance_of_an_intended_launch_are_no_orphans() {
    let running = found(1, Ec2State::Running);
    assert_eq!(orphans_of(&running, &[shard(6), shard(8).held(1, 1)], &policy()), []);
    assert_eq!(orphans_of(&running, &[shard(6), shard(8).intending(1, 1)], &policy()), []);
    let untagged = Ec2Instance { launch: None, ..running };
    assert_eq!(orphans_of(&untagged, &[shard(6).intending(1, 1)], &policy()).len(), 1);
}

#[test]
fn a_buried_instance_is_told_apart() {
    let running = found(1, Ec2State::Running);
    let shards = [shard(7), shard(8).buried(instance(1).as_str(), Fate::Gone)];
    assert!(orphans_of(&running, &shards, &policy())[0].buried);
}

#[test]
fn nothing_young_is_judged() {
    let since = |seconds| Ec2Instance { launched_at: NOW - seconds, ..found(1, Ec2State::Running) };
    let shards = [shard(7)];
    for (grace, seconds, judged) in [(120, 120, 0), (120, 121, 1), (10, 30, 0), (10, 31, 1)] {
        let policy = Policy { reconcile_grace_seconds: grace, ..policy() };
        assert_eq!(orphans_of(&since(seconds), &shards, &policy).len(), judged, "{seconds} s under {grace} s of grace");
    }
}

#[test]
fn a_running_orphan_is_taken_in_where_there_is_room_and_must_say_ready() {
    for state in [Ec2State::Pending, Ec2State::Running] {
        let orphan = Orphan { shard: 7, buried: false, shared: false, found: found(1, state) };
        let member = Member {
            address: "10.0.0.1".to_owned(),
            key: NodeKey::default(),
            boot_id: 0,
            since: NOW,
            served: 0,
            kind: orphan.found.kind.clone(),
        };
        let adopt = Transition::AdoptOrphan { instance: instance(1), member, launch: launch_token(1), sequence: 8 };
        for room in [1, 2] {
            let shard = shard(7).with(|shard| shard.room = room);
            assert_eq!(
                judge_orphan(&orphan, &shard, 8, NOW),
                Some(adopt.clone()),
                "the number is that of the first reading"
            );
        }
    }
}

#[test]
fn an_orphan_that_cannot_be_used_is_doomed() {
    let running = || Orphan { shard: 7, buried: false, shared: false, found: found(1, Ec2State::Running) };
    let stopped = Orphan { found: found(1, Ec2State::Stopped), ..running() };
    let doom = Transition::Doom { instance: instance(1), launch: launch_token(1), sequence: 8, now: NOW };
    for (situation, orphan, shard) in [
        ("it is stopped", stopped, shard(7)),
        ("there is no room", running(), shard(7).with(|shard| shard.room = 0)),
        ("another shard has buried it", Orphan { buried: true, ..running() }, shard(7)),
        ("this shard has buried it", running(), shard(7).buried(instance(1).as_str(), Fate::Gone)),
    ] {
        assert_eq!(judge_orphan(&orphan, &shard, 8, NOW), Some(doom.clone()), "{situation}");
    }
    let mut untagged = running();
    untagged.found.launch = None;
    let Some(Transition::AdoptOrphan { launch, .. }) = judge_orphan(&untagged, &shard(7), 8, NOW) else {
        panic!("there is room")
    };
    assert_eq!(launch, LaunchToken::trusted("none"));
}

#[test]
fn a_tombstone_is_forgotten_when_it_is_old_and_no_shard_records_the_move() {
    let at = |name: &str, seconds| {
        let name = name.to_owned();
        move |shard: &mut Shard| {
            shard.tombstones.get_mut(&name).expect("buried").written = NOW - seconds;
        }
    };
    let old = shard(8)
        .buried(transfer_id(1).as_str(), Fate::Taken)
        .buried(transfer_id(2).as_str(), Fate::Taken)
        .buried(transfer_id(3).as_str(), Fate::Taken)
        .with(at(transfer_id(1).as_str(), 1_201))
        .with(at(transfer_id(2).as_str(), 1_200))
        .with(at(transfer_id(3).as_str(), 1_201));
    let prune = Transition::Prune { name: transfer_id(1).as_str().to_owned(), written_before: NOW - 1_200 };
    assert_eq!(forgettable(&[shard(7).moving(3), old], NOW), [(8, prune)]);
}
