//! What a caller's operation costs in requests, and what happens when many callers ask at once.

mod engine;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use pool_core::ids::{InstanceId, LaunchToken, NodeKey, Owner, ShardNo, Token};
use pool_core::shard::{
    AfterEnd, EndedBy, Intent, Kind, Launch, LeaseRef, Market, Member, Next, Shard, Terms, Transition,
};
use pool_core::time::Timestamp;
use pool_store::{Store, Written};

const NOW: Timestamp = Timestamp(1_000);

/// Counts requests on the wire, repetitions by the client included.
#[derive(Debug, Clone, Default)]
struct Counter(Arc<AtomicU32>);

impl Counter {
    /// Requests since the last call.
    fn take(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Intercept for Counter {
    fn name(&self) -> &'static str {
        "request counter"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

async fn counted() -> (Store, Counter) {
    let (client, table) = engine::start().await;
    let counter = Counter::default();
    let config = client.config().to_builder().interceptor(counter.clone()).build();
    (Store::new(Client::from_conf(config), table), counter)
}

fn token(number: u16) -> Token {
    let [high, low] = number.to_be_bytes();
    Token::from_bytes([high, low, 0, 0, 0, 0, 0, 0, 0])
}

fn ann() -> Owner {
    Owner::of("AROAANN")
}

fn terms() -> Terms {
    Terms { owner: ann(), until: NOW + 60, hard_end: NOW + 600, ttl_seconds: 60 }
}

fn release(lease: &LeaseRef, next: Next) -> Transition {
    let (lease, after) = (lease.clone(), AfterEnd::Reuse(next));
    Transition::End { lease, by: EndedBy::Owner(ann()), after, now: NOW }
}

/// A shard with so many free instances.
async fn with_free(store: &Store, shard: ShardNo, count: u64) {
    let ids: Vec<_> = (0..count).map(|n| InstanceId::trusted(format!("i-{n:017x}"))).collect();
    let kind = Kind {
        instance_type: "t3.medium".to_owned(),
        zone: "eu-central-1a".to_owned(),
        market: Market::Spot,
        template_version: 1,
    };
    let member =
        Member { address: "10.0.0.1".to_owned(), key: NodeKey::default(), boot_id: 0, since: NOW, served: 0, kind };
    let launch = LaunchToken::trusted("launch");
    let parameters = Launch {
        template_id: "lt-0123456789abcdef0".to_owned(),
        template_version: 1,
        market: Market::Spot,
        instance_types: vec!["t3.medium".to_owned()],
        subnets: vec!["subnet-a".to_owned()],
        except: Vec::new(),
        sessions: 1,
    };
    let members = ids.iter().map(|id| (id.clone(), member.clone())).collect();
    let ready = ids.iter().map(|id| Transition::Ready {
        instance: id.clone(),
        boot_epoch: 3,
        key: NodeKey::stored(*b"key"),
        boot_id: 1,
        now: NOW,
        next: Next::Free,
    });
    let launched = [
        Transition::Resize { from: 0, delta: 64, layout: 1 },
        Transition::Intend {
            launch: launch.clone(),
            intent: Intent { count, launch: parameters, since: NOW },
            sequence: 0,
        },
        Transition::Adopt { launch, members, short: 0 },
    ];
    store.create_shard(shard).await.expect("the shard is made");
    for transition in launched.into_iter().chain(ready) {
        accepted(store, shard, &transition).await;
    }
}

async fn accepted(store: &Store, shard: ShardNo, transition: &Transition) -> Shard {
    match store.apply(shard, transition).await.expect("the engine answers") {
        Written::Applied(shard) => shard,
        other => panic!("{transition:?} was not accepted: {other:?}"),
    }
}

async fn refused(store: &Store, shard: ShardNo, transition: &Transition) -> Shard {
    match store.apply(shard, transition).await.expect("the engine answers") {
        Written::Refused(shard) => shard,
        other => panic!("{transition:?} was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn acquire_renew_and_release_are_one_request_each() {
    let (store, requests) = counted().await;
    with_free(&store, 0, 1).await;
    requests.take();

    let shard = accepted(&store, 0, &Transition::Grant { token: token(1), terms: terms(), layout: 1 }).await;
    assert_eq!(requests.take(), 1, "grant");

    let lease = shard.lease(&token(1)).expect("granted");
    let renew = Transition::Renew { lease: lease.clone(), owner: ann(), now: NOW, until: NOW + 90 };
    let shard = accepted(&store, 0, &renew).await;
    assert_eq!(requests.take(), 1, "renew");
    assert_eq!(shard.lease_terms[&token(1)].until, NOW + 90);

    let shard = accepted(&store, 0, &release(&lease, Next::Free)).await;
    assert_eq!(requests.take(), 1, "release");
    assert_eq!(shard.free, [lease.instance]);
}

#[tokio::test]
async fn waiting_and_hand_over_are_two_requests_each() {
    let (store, requests) = counted().await;
    with_free(&store, 0, 1).await;
    let shard = accepted(&store, 0, &Transition::Grant { token: token(1), terms: terms(), layout: 1 }).await;
    let lease = shard.lease(&token(1)).expect("granted");
    requests.take();

    // The refused grant says why: nothing is free.
    let shard = refused(&store, 0, &Transition::Grant { token: token(2), terms: terms(), layout: 1 }).await;
    assert!(shard.free.is_empty());
    accepted(&store, 0, &Transition::Enqueue { token: token(2), terms: terms(), layout: 1, queue_max: 8 }).await;
    assert_eq!(requests.take(), 2, "wait");

    // The refused release says who waits.
    let shard = refused(&store, 0, &release(&lease, Next::Free)).await;
    let waiter = shard.queue.first().expect("a waiter").clone();
    let shard = accepted(&store, 0, &release(&lease, Next::HandOver { waiter, claim_until: NOW + 30 })).await;
    assert_eq!(requests.take(), 2, "hand-over");
    assert_eq!(shard.lease(&token(2)).expect("handed over").instance, lease.instance);
}

/// Four shards' worth of grants race for 32 instances: the winners get one each, all others a clean refusal.
#[tokio::test(flavor = "multi_thread")]
async fn of_320_grants_on_32_instances_32_win() {
    let (client, table) = engine::start().await;
    let store = Store::new(client, table);
    with_free(&store, 0, 32).await;
    let grants: Vec<_> = (0..320)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let grant = Transition::Grant { token: token(number), terms: terms(), layout: 1 };
                (number, store.apply(0, &grant).await.expect("the engine answers"))
            })
        })
        .collect();
    let (mut winners, mut refusals) = (BTreeSet::new(), 0);
    for grant in grants {
        match grant.await.expect("no grant panics") {
            (number, Written::Applied(shard)) => {
                let lease = shard.lease(&token(number)).expect("an accepted grant is a lease");
                assert!(winners.insert(lease.instance.clone()), "{} was granted twice", lease.instance);
            }
            (_, Written::Refused(shard)) => {
                assert!(shard.free.is_empty(), "refused beside {:?}", shard.free);
                refusals += 1;
            }
            (_, Written::Missing) => panic!("the shard is gone"),
        }
    }
    assert_eq!((winners.len(), refusals), (32, 288));
    let shard = store.read(0).await.expect("the engine answers").expect("the shard is there");
    assert_eq!(shard.leases.len(), 32);
}
