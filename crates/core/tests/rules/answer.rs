//! What a caller is told of its lease or of its wait.

use pool_core::access;
use pool_core::answer::{Lease, LeaseState, lease};
use pool_core::eta::{Expectations, Outlook};
use pool_core::ids::NodeKey;
use pool_core::policy::Policy;
use pool_core::shard::Shard;
use pool_core::time::Timestamp;

use crate::given::{Given, LEASE_EPOCH, NOW, instance, policy, secret, shard, token};

/// What the holder of token 1 is told.
fn told(shard: &Shard) -> Option<Lease> {
    lease(shard, &token(1), &Policy { health_port: 8_443, ..policy() }, NOW)
}

fn active() -> Lease {
    Lease {
        lease_id: format!("7.{}.40.{}", token(1), instance(1)),
        state: LeaseState::Active,
        instance_id: Some(instance(1)),
        endpoint: Some("http://10.0.0.1:8443".to_owned()),
        epoch: Some(LEASE_EPOCH),
        tls_sha256: None,
        access_token: access::token(&secret(1), &instance(1), LEASE_EPOCH, NOW + 60),
        expires_at: Some("2026-11-23T18:14:20Z".to_owned()),
        expires_in_seconds: Some(60),
        position: None,
        eta_seconds: None,
        deadline: None,
        outlook: None,
    }
}

fn pending(position: u64, outlook: Outlook) -> Lease {
    Lease {
        lease_id: format!("7.{}", token(1)),
        state: LeaseState::Pending,
        instance_id: None,
        endpoint: None,
        epoch: None,
        tls_sha256: None,
        access_token: None,
        expires_at: None,
        expires_in_seconds: None,
        position: Some(position),
        eta_seconds: None,
        deadline: None,
        outlook: Some(outlook),
    }
}

#[test]
fn a_holder_is_told_where_its_instance_is_and_how_to_open_it() {
    assert_eq!(told(&shard(7).held(1, 1)), Some(active()));
    assert!(active().access_token.is_some());
    assert_eq!(told(&shard(7).held(1, 1).leaving(1, Timestamp::NEVER)), Some(active()), "it leaves only afterwards");
}

#[test]
fn a_holder_is_told_the_certificate_of_an_instance_that_speaks_tls() {
    let digest = "ab".repeat(32);
    let with_tls = shard(7).held(1, 1).with(|shard| {
        let member = shard.members.get_mut(&instance(1)).expect("a member");
        member.key = NodeKey::told(&secret(1), Some(&digest)).expect("a key");
    });
    let endpoint = Some("https://10.0.0.1:8443".to_owned());
    assert_eq!(told(&with_tls), Some(Lease { endpoint, tls_sha256: Some(digest), ..active() }));
}

#[test]
fn what_is_not_known_of_an_instance_is_not_told() {
    let blank = shard(7).held(1, 1).with(|shard| {
        let member = shard.members.get_mut(&instance(1)).expect("a member");
        member.address.clear();
        member.key = NodeKey::default();
    });
    assert_eq!(told(&blank), Some(Lease { endpoint: None, access_token: None, ..active() }));
}

#[test]
fn an_interrupted_holder_is_told_the_deadline_as_long_as_there_is_one() {
    let interrupted =
        Lease { state: LeaseState::Interrupted, deadline: Some("2026-11-23T18:13:50Z".to_owned()), ..active() };
    assert_eq!(told(&shard(7).held(1, 1).leaving(1, NOW + 30)), Some(interrupted.clone()));
    let gone = Lease { deadline: None, endpoint: None, access_token: None, ..interrupted };
    assert_eq!(told(&shard(7).held(1, 1).vanished(1)), Some(gone));
}

/// The answer shows what the shard knows; when an instance comes is estimated with the control record (`eta.rs`).
#[test]
fn a_waiter_is_told_its_place_and_shown_what_is_on_its_way() {
    let nothing = || Outlook { ahead: 0, boots: Vec::new(), leases: Vec::new(), room: 4 };
    assert_eq!(told(&shard(7).waiting(1)), Some(pending(1, nothing())));
    let coming = shard(7).booting(2).since(2, NOW - 20).intending(3, 2).held(4, 4);
    let behind = |ahead: u8| (0..ahead).fold(coming.clone(), |shard, n| shard.waiting(10 + n)).waiting(1);
    for ahead in [0_u8, 1, 4] {
        let outlook = Outlook { ahead: ahead.into(), boots: vec![20, 15, 15], leases: vec![60], ..nothing() };
        assert_eq!(told(&behind(ahead)), Some(pending(u64::from(ahead) + 1, outlook)), "{ahead} are before it");
    }
}

#[test]
fn an_estimate_is_made_of_a_wait_and_of_nothing_else() {
    let expectations = Expectations::default();
    let mut waits = told(&shard(7).waiting(1)).expect("it waits");
    waits.estimate(&expectations);
    assert_eq!(waits.eta_seconds, expectations.eta_seconds(waits.outlook.as_ref().expect("a wait has one")));
    assert!(waits.eta_seconds.is_some());
    let mut holds = active();
    holds.estimate(&expectations);
    assert_eq!(holds, active());
}

#[test]
fn nothing_is_told_of_what_cannot_be_used_or_waited_for() {
    for shard in [
        shard(7),
        shard(7).handed_over(1, 1),
        shard(7).handed_over(1, 1).vanished(1),
        shard(7).held(1, 1).lasts_until(1, NOW - 1),
        shard(7).waiting(1).waits_until(1, NOW - 1),
    ] {
        assert_eq!(told(&shard), None);
    }
}
