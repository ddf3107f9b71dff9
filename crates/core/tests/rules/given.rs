//! Shards, members and policies in a few words, and how a transition is tried on a shard.
//!
//! Every number differs from every other one and from zero, so that a wrong one is seen. Leases and waits are Ann's.

use pool_core::control::{Control, KnownTemplate, Measures};
use pool_core::ids::{InstanceId, LaunchToken, NodeKey, Owner, ShardNo, Token, TransferId};
use pool_core::node::InstanceRecord;
use pool_core::policy::Policy;
use pool_core::reap_idle::{Ec2Instance, Ec2State, Ec2Word};
use pool_core::scale::Template;
use pool_core::shard::{
    Fate, Intent, Kind, Launch, LeaseRef, Leaving, Market, Member, Next, Refused, Shard, StopPhase, Stopped, Terms,
    Tombstone, Transfer, Transition,
};
use pool_core::snapshot::Snapshot;
use pool_core::time::Timestamp;

/// The moment at which everything is judged: 2026-11-23T18:13:20Z.
pub(crate) const NOW: Timestamp = Timestamp(1_795_457_600);

/// The epoch of the leases, and of what is to be cleaned away.
pub(crate) const LEASE_EPOCH: u64 = 40;

/// The epoch in which the booting ones began to boot.
pub(crate) const BOOT_EPOCH: u64 = 41;

pub(crate) fn instance(n: u64) -> InstanceId {
    InstanceId::trusted(format!("i-{n:017x}"))
}

pub(crate) fn token(n: u8) -> Token {
    Token::from_bytes([n; Token::BYTES])
}

pub(crate) fn launch_token(n: u64) -> LaunchToken {
    LaunchToken::trusted(format!("launch-{n}"))
}

pub(crate) fn transfer_id(n: u64) -> TransferId {
    TransferId::trusted(format!("7.{n}"))
}

pub(crate) fn ann() -> Owner {
    Owner::of("AROAANN")
}

pub(crate) fn bob() -> Owner {
    Owner::of("AROABOB")
}

/// The default policy.
pub(crate) fn policy() -> Policy {
    Policy::parse::<&str, &str>([]).expect("the defaults are valid")
}

pub(crate) fn kind(market: Market) -> Kind {
    Kind { instance_type: "t3.medium".to_owned(), zone: "eu-central-1a".to_owned(), market, template_version: 3 }
}

/// A member as it is when nothing else is said of it.
pub(crate) fn member(n: u64) -> Member {
    Member {
        address: format!("10.0.0.{n}"),
        key: NodeKey::told(&secret(n), None).expect("a key"),
        boot_id: 5,
        since: NOW - 100,
        served: 3,
        kind: kind(Market::Spot),
    }
}

/// The terms of every lease: a minute to go, a thousand seconds at most.
pub(crate) fn lease_terms() -> Terms {
    Terms { owner: ann(), until: NOW + 60, hard_end: NOW + 1_000, ttl_seconds: 600 }
}

/// The terms of every wait: it began ten seconds ago, as its hard end tells.
pub(crate) fn wait_terms() -> Terms {
    Terms { owner: ann(), until: NOW + 90, hard_end: NOW - 10 + 300 + 28_800, ttl_seconds: 300 }
}

/// The grant of instance `n` under `LEASE_EPOCH`.
pub(crate) fn lease(n: u64, of: u8) -> LeaseRef {
    LeaseRef { token: token(of), instance: instance(n), epoch: LEASE_EPOCH }
}

pub(crate) fn leaves(deadline: Timestamp) -> Leaving {
    Leaving { why: "it must go".to_owned(), deadline }
}

/// A launch that was decided a quarter of a minute ago.
pub(crate) fn intent(count: u64, market: Market) -> Intent {
    let launch = Launch {
        template_id: "lt-0".to_owned(),
        template_version: 3,
        market,
        instance_types: vec!["t3.medium".to_owned()],
        subnets: vec!["subnet-a".to_owned()],
        except: Vec::new(),
        sessions: 1,
    };
    Intent { count, launch, since: NOW - 15 }
}

/// What EC2 says of the member of this number, an hour after its launch.
pub(crate) fn found(n: u64, state: Ec2State) -> Ec2Instance {
    Ec2Instance {
        instance: instance(n),
        state,
        launched_at: NOW - 3_600,
        kind: kind(Market::Spot),
        address: format!("10.0.0.{n}"),
        shard: Some(7),
        launch: Some(launch_token(n)),
    }
}

/// EC2 lists these members in these states.
pub(crate) fn listed<const N: usize>(states: [(u64, Ec2State); N]) -> Ec2Word {
    let listed = states.into_iter().map(|(n, state)| (instance(n), found(n, state))).collect();
    Ec2Word { listed, ..Ec2Word::default() }
}

/// EC2 lists these members as running, launched so many seconds ago.
pub(crate) fn launched<const N: usize>(seconds: [(u64, u64); N]) -> Ec2Word {
    let mut ec2 = listed(seconds.map(|(n, _)| (n, Ec2State::Running)));
    for (n, seconds) in seconds {
        ec2.listed.get_mut(&instance(n)).expect("listed").launched_at = NOW - seconds;
    }
    ec2
}

/// The heartbeat of a node at that moment, half busy.
pub(crate) fn beat(n: u64, at: Timestamp, healthy: bool) -> InstanceRecord {
    InstanceRecord {
        instance: instance(n),
        shard: Some(7),
        healthy,
        cpu_percent: 50.0,
        memory_percent: 40.0,
        sessions: 0,
        beat_at: Some(at),
        ready_at: None,
        boot_seconds: None,
        history: Vec::new(),
    }
}

/// What EC2 is to launch from.
pub(crate) fn template() -> Template {
    Template { id: "lt-1".to_owned(), version: 5, subnets: vec!["subnet-a".to_owned(), "subnet-b".to_owned()] }
}

/// A policy with one instance type and room for a hundred instances, that keeps so many free.
pub(crate) fn keeping(min_available: u64) -> Policy {
    Policy { min_available, max_instances: 100, instance_types: vec!["t3.medium".to_owned()], ..policy() }
}

/// A control record of which a look at the pool changes nothing: the template is known, the leases were just looked at.
pub(crate) fn control() -> Control {
    let template = KnownTemplate { version: 5, seen_at: NOW - 1 };
    let measures = Measures { looked_at: NOW - 1, ..Measures::default() };
    Control { template, measures, ..Control::default() }
}

/// What a plan looks at now, when no node has told anything.
pub(crate) fn seen<'a>(shards: &'a [Shard], control: &'a Control, policy: &'a Policy) -> Snapshot<'a> {
    Snapshot { shards, control, records: &[], policy, now: NOW }
}

/// An empty shard in the middle of its life.
pub(crate) fn shard(number: ShardNo) -> Shard {
    Shard { epoch: 50, sequence: 9, room: 4, share: 16, layout: 2, ..Shard::new(number) }
}

/// What a shard holds, one word for each thing.
pub(crate) trait Given: Sized {
    /// Any change.
    fn with(self, change: impl FnOnce(&mut Shard)) -> Self;

    fn member(self, n: u64) -> Self {
        self.with(|shard| {
            shard.members.insert(instance(n), member(n));
        })
    }

    /// Free, older than those named before.
    fn free(self, n: u64) -> Self {
        self.member(n).with(|shard| shard.free.push(instance(n)))
    }

    /// Under a lease of this token.
    fn held(self, n: u64, of: u8) -> Self {
        self.member(n).with(|shard| {
            shard.leases.insert(token(of), instance(n));
            shard.lease_epochs.insert(token(of), LEASE_EPOCH);
            shard.lease_terms.insert(token(of), lease_terms());
        })
    }

    /// Under a lease that came by hand-over and must be confirmed in half a minute.
    fn handed_over(self, n: u64, of: u8) -> Self {
        self.held(n, of).with(|shard| {
            shard.claims.insert(token(of), NOW + 30);
        })
    }

    /// Waits behind those named before.
    fn waiting(self, of: u8) -> Self {
        self.with(|shard| {
            shard.queue.push(token(of));
            shard.queue_terms.insert(token(of), wait_terms());
        })
    }

    /// Its wait ends then.
    fn waits_until(self, of: u8, until: Timestamp) -> Self {
        self.with(|shard| shard.queue_terms.get_mut(&token(of)).expect("it waits").until = until)
    }

    /// Its lease ends then.
    fn lasts_until(self, of: u8, until: Timestamp) -> Self {
        self.with(|shard| shard.lease_terms.get_mut(&token(of)).expect("it has a lease").until = until)
    }

    /// Its hand-over must be confirmed by then.
    fn claimed_until(self, of: u8, until: Timestamp) -> Self {
        self.with(|shard| {
            shard.claims.insert(token(of), until);
        })
    }

    /// For the first time, so that its node has said nothing so far.
    fn booting(self, n: u64) -> Self {
        self.member(n).with(|shard| {
            shard.members.get_mut(&instance(n)).expect("a member").boot_id = 0;
            shard.booting.insert(instance(n), BOOT_EPOCH);
        })
    }

    fn stopping(self, n: u64) -> Self {
        self.stopped_as(n, StopPhase::Stopping)
    }

    fn stopped(self, n: u64) -> Self {
        self.stopped_as(n, StopPhase::Stopped)
    }

    fn stopped_as(self, n: u64, phase: StopPhase) -> Self {
        self.member(n).with(|shard| {
            shard.stopped.insert(instance(n), Stopped { phase, since: NOW - 200 });
        })
    }

    fn resetting(self, n: u64) -> Self {
        self.member(n).with(|shard| {
            shard.resetting.insert(instance(n), LEASE_EPOCH);
        })
    }

    /// Under way to shard 8 by the move of the same number.
    fn moving(self, n: u64) -> Self {
        self.member(n).with(|shard| {
            let transfer = Transfer { to: 8, id: transfer_id(n), since: NOW - 100 };
            shard.transfers.insert(instance(n), transfer);
        })
    }

    /// Leaves, wherever it was named to be.
    fn leaving(self, n: u64, deadline: Timestamp) -> Self {
        self.with(|shard| {
            shard.leaving.insert(instance(n), leaves(deadline));
        })
    }

    /// No member any more; what names it stays.
    fn vanished(self, n: u64) -> Self {
        self.with(|shard| {
            shard.members.remove(&instance(n));
        })
    }

    /// In its present state since then.
    fn since(self, n: u64, since: Timestamp) -> Self {
        self.with(|shard| shard.members.get_mut(&instance(n)).expect("a member").since = since)
    }

    /// On demand instead of Spot.
    fn on_demand(self, n: u64) -> Self {
        self.with(|shard| shard.members.get_mut(&instance(n)).expect("a member").kind = kind(Market::OnDemand))
    }

    /// A launch of so many Spot instances under the token of this number.
    fn intending(self, n: u64, count: u64) -> Self {
        self.with(|shard| {
            shard.intents.insert(launch_token(n), intent(count, Market::Spot));
        })
    }

    /// A tombstone.
    fn buried(self, name: &str, fate: Fate) -> Self {
        self.with(|shard| {
            shard.tombstones.insert(name.to_owned(), Tombstone { written: NOW - 300, fate });
        })
    }
}

impl Given for Shard {
    fn with(mut self, change: impl FnOnce(&mut Shard)) -> Self {
        change(&mut self);
        self
    }
}

/// What gives an instance to this waiter, who must confirm in half a minute.
pub(crate) fn hand_over(waiter: u8) -> Next {
    Next::HandOver { waiter: token(waiter), claim_until: NOW + 31 }
}

/// What a hand-over of instance 1 in this epoch has changed.
pub(crate) fn handed_over(shard: &mut Shard, waiter: u8, epoch: u64) {
    shard.queue.remove(0);
    let terms = shard.queue_terms.remove(&token(waiter)).expect("it waits");
    shard.leases.insert(token(waiter), instance(1));
    shard.lease_epochs.insert(token(waiter), epoch);
    shard.lease_terms.insert(token(waiter), terms);
    shard.claims.insert(token(waiter), NOW + 31);
    shard.members.get_mut(&instance(1)).expect("a member").since = NOW;
}

/// The transition is accepted and changes exactly this; the epoch has grown by one already.
#[track_caller]
pub(crate) fn accepted(before: &Shard, transition: &Transition, change: impl FnOnce(&mut Shard)) {
    let (mut shard, mut expected) = (before.clone(), before.clone());
    expected.epoch += 1;
    change(&mut expected);
    assert_eq!(shard.apply(transition), Ok(()), "{transition:?} was refused");
    assert_eq!(shard, expected, "after {transition:?}");
}

/// In none of these situations is the transition accepted, nor is anything changed.
#[track_caller]
pub(crate) fn refused<const N: usize>(transition: &Transition, situations: [(&str, Shard); N]) {
    for (situation, before) in situations {
        let mut shard = before.clone();
        assert_eq!(shard.apply(transition), Err(Refused), "{situation}: {transition:?} was accepted");
        assert_eq!(shard, before, "{situation}: a refused transition changed something");
    }
}

/// The secret of an instance's node.
pub(crate) fn secret(n: u64) -> String {
    format!("{n:032x}")
}
