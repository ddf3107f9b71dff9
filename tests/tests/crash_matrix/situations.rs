//! The situations in which functions die: how each comes about, and what its function is asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pool_core::home::home;
use pool_core::ids::{Owner, Token};
use pool_core::shard::Shard;
use pool_tests::request::event_file;
use pool_tests::sim::background::Task;
use pool_tests::sim::callers::call;
use pool_tests::sim::plan::Rates;
use pool_tests::sim::world::lock;
use pool_tests::sim::{Plan, World};
use pool_tests::{Answer, Request, Route};
use serde_json::{Value, json};
use tokio::time::sleep;

pub(crate) const ANN: &str = "AIDAANN";
pub(crate) const BOB: &str = "AIDABOB";

/// What a function is asked.
pub(crate) enum Act {
    Call(Request),
    Run(Task),
}

type Prepared<'a> = Pin<Box<dyn Future<Output = Act> + 'a>>;

/// A situation: its name, the pool it is in, and how it comes about.
pub(crate) struct Situation {
    /// In words.
    pub(crate) name: &'static str,
    pub(crate) variables: &'static [(&'static str, &'static str)],
    pub(crate) prepare: for<'a> fn(&'a Arc<World>) -> Prepared<'a>,
}

pub(crate) fn plan(situation: &Situation) -> Plan {
    let mut plan = Plan { rates: Rates::NONE, outage: false, callers: 0, caps: vec![4], ..Plan::of(1) };
    let fixed = [
        ("POOL_SHARD_SIZE", "16"),
        ("POOL_MIN_AVAILABLE", "1"),
        ("POOL_MIN", "0"),
        ("POOL_AFTER_RELEASE", "reuse"),
        ("POOL_QUEUE_MAX", "8"),
        ("POOL_STOPPED_SIZE", "0"),
        ("POOL_MAX_LEASES_PER_INSTANCE", "0"),
    ];
    for (name, value) in fixed.iter().chain(situation.variables) {
        plan.variables.retain(|(known, _)| known != name);
        plan.variables.push(((*name).to_owned(), (*value).to_owned()));
    }
    plan
}

/// Waits until the shards are as wanted; they become so by themselves within some minutes.
pub(crate) async fn until(world: &Arc<World>, what: &str, holds: impl Fn(&[Shard]) -> bool) {
    for _ in 0..6_000 {
        if holds(lock(&world.judge).shards()) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("waited in vain: {what}: {:#?}", lock(&world.judge).shards());
}

pub(crate) async fn free(world: &Arc<World>, count: usize) {
    until(world, "free instances", |shards| shards.iter().map(|shard| shard.free.len()).sum::<usize>() >= count).await;
}

pub(crate) async fn ask(world: &Arc<World>, request: Request) -> Answer {
    call(world, request).await.expect("nothing goes wrong yet")
}

pub(crate) fn acquire(owner: &str, body: &Value) -> Request {
    Request::new(Route::Acquire).by(owner).header("idempotency-key", "job").json(body)
}

pub(crate) async fn lease(world: &Arc<World>, owner: &str) -> Answer {
    free(world, 1).await;
    let answer = ask(world, acquire(owner, &json!({"ttl_seconds": 60}))).await;
    answer.is(201);
    answer
}

fn about(route: Route, owner: &str, lease: &Answer) -> Request {
    Request::new(route).by(owner).about(&lease.text("lease_id"))
}

/// Bob waits for what Ann holds.
pub(crate) async fn waiting(world: &Arc<World>) -> (Answer, Answer) {
    let held = lease(world, ANN).await;
    let waits = ask(world, acquire(BOB, &json!({"wait_seconds": 50}))).await;
    waits.is(202);
    (held, waits)
}

pub(crate) fn some_instance(world: &World) -> String {
    let judge = lock(&world.judge);
    let members = judge.shards().iter().flat_map(|shard| shard.members.keys()).next();
    members.expect("there is one").to_string()
}

fn booting(world: &World) -> String {
    let judge = lock(&world.judge);
    let booting = judge.shards().iter().flat_map(|shard| shard.booting.keys()).next();
    booting.expect("one boots").to_string()
}

/// An event file about an instance of this world.
fn event(file: &str, instance: &str) -> Task {
    let mut event = event_file(file);
    event["detail"]["instance-id"] = instance.into();
    Task::Event(event)
}

/// A key of Ann's whose home is shard 1 of two.
fn key_of_shard_1() -> String {
    let owner = Owner::of(ANN);
    let keys = (0..).map(|number| format!("job {number}"));
    keys.into_iter().find(|key| home(&Token::of_key(&owner, key), 2) == 1).expect("half of them")
}

pub(crate) const ONE: &[(&str, &str)] = &[("POOL_SHARD_SIZE", "16")];
const TWO_SHARDS: &[(&str, &str)] = &[("POOL_SHARD_SIZE", "2"), ("POOL_MIN_AVAILABLE", "2")];

/// All situations.
pub(crate) const SITUATIONS: &[Situation] = &[
    Situation {
        name: "acquire, something is free",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                free(world, 1).await;
                Act::Call(acquire(ANN, &json!({})))
            })
        },
    },
    Situation {
        name: "acquire, nothing is free, and it waits",
        variables: &[("POOL_MIN_AVAILABLE", "0")],
        prepare: |world| {
            Box::pin(async move {
                until(world, "the shard", |shards| !shards.is_empty()).await;
                Act::Call(acquire(ANN, &json!({"wait_seconds": 50})))
            })
        },
    },
    Situation {
        name: "acquire with a key whose home is empty",
        variables: TWO_SHARDS,
        prepare: |world| {
            Box::pin(async move {
                until(world, "both free in one shard or one in each", |shards| {
                    shards.iter().map(|shard| shard.free.len()).sum::<usize>() >= 2
                })
                .await;
                // Whatever is free at home is taken first.
                let key = key_of_shard_1();
                let request = || Request::new(Route::Acquire).by(ANN).json(&json!({}));
                while lock(&world.judge).shards().iter().any(|shard| shard.number == 1 && !shard.free.is_empty()) {
                    ask(world, request()).await;
                }
                Act::Call(request().header("idempotency-key", &key))
            })
        },
    },
    Situation {
        name: "look at a lease that was handed over",
        variables: &[("POOL_MIN_AVAILABLE", "0"), ("POOL_MIN", "1")],
        prepare: |world| {
            Box::pin(async move {
                let (held, waits) = waiting(world).await;
                ask(world, about(Route::Release, ANN, &held)).await.is(204);
                Act::Call(about(Route::Look, BOB, &waits))
            })
        },
    },
    Situation {
        name: "renew",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                let held = lease(world, ANN).await;
                Act::Call(about(Route::Renew, ANN, &held).json(&json!({"ttl_seconds": 80})))
            })
        },
    },
    Situation {
        name: "release",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                let held = lease(world, ANN).await;
                Act::Call(about(Route::Release, ANN, &held))
            })
        },
    },
    Situation {
        name: "release while somebody waits",
        variables: &[("POOL_MIN_AVAILABLE", "0"), ("POOL_MIN", "1")],
        prepare: |world| {
            Box::pin(async move {
                let (held, _) = waiting(world).await;
                Act::Call(about(Route::Release, ANN, &held))
            })
        },
    },
    Situation {
        name: "release an instance that must be cleaned",
        variables: &[("POOL_AFTER_RELEASE", "reset")],
        prepare: |world| {
            Box::pin(async move {
                let held = lease(world, ANN).await;
                Act::Call(about(Route::Release, ANN, &held))
            })
        },
    },
    Situation {
        name: "release an instance that is not used again",
        variables: &[("POOL_AFTER_RELEASE", "recycle")],
        prepare: |world| {
            Box::pin(async move {
                let held = lease(world, ANN).await;
                Act::Call(about(Route::Release, ANN, &held))
            })
        },
    },
    Situation {
        name: "ready",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                until(world, "one that boots and has an address", |shards| {
                    let located = |shard: &Shard| {
                        shard.booting.keys().any(|one| shard.members.get(one).is_some_and(|m| !m.address.is_empty()))
                    };
                    shards.iter().any(located)
                })
                .await;
                let word = json!({"boot_id": 900, "key": "0123456789abcdef0123456789abcdef"});
                Act::Call(Request::new(Route::Ready).by_node(&booting(world)).json(&word))
            })
        },
    },
    Situation {
        name: "heartbeat",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                free(world, 1).await;
                let beat = json!({"healthy": true, "cpu_percent": 1, "memory_percent": 1, "sessions": 0});
                Act::Call(Request::new(Route::Heartbeat).by_node(&some_instance(world)).json(&beat))
            })
        },
    },
    Situation {
        name: "look at the pool",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                free(world, 1).await;
                Act::Call(Request::new(Route::Pool).by(ANN))
            })
        },
    },
    Situation {
        name: "scale, the very first run",
        variables: TWO_SHARDS,
        prepare: |_| Box::pin(async { Act::Run(Task::Scale) }),
    },
    Situation {
        name: "scale while somebody waits",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                waiting(world).await;
                Act::Run(Task::Scale)
            })
        },
    },
    Situation {
        name: "scale to another cap",
        variables: TWO_SHARDS,
        prepare: |world| {
            Box::pin(async move {
                free(world, 2).await;
                world.deploy(8);
                world.retire();
                Act::Run(Task::Scale)
            })
        },
    },
    Situation {
        name: "scale to a smaller cap",
        variables: TWO_SHARDS,
        prepare: |world| {
            Box::pin(async move {
                free(world, 2).await;
                world.deploy(2);
                world.retire();
                Act::Run(Task::Scale)
            })
        },
    },
    Situation {
        name: "reap-idle, a lease is overdue and what was launched for it idle",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                lease(world, ANN).await;
                sleep(Duration::from_secs(63)).await;
                Act::Run(Task::ReapIdle)
            })
        },
    },
    Situation {
        name: "reap-idle, more is free than is kept",
        variables: &[("POOL_MIN_AVAILABLE", "2")],
        prepare: |world| {
            Box::pin(async move {
                free(world, 2).await;
                let held = lease(world, ANN).await;
                free(world, 2).await;
                ask(world, about(Route::Release, ANN, &held)).await.is(204);
                sleep(Duration::from_secs(59)).await;
                Act::Run(Task::ReapIdle)
            })
        },
    },
    Situation {
        name: "reap-idle, EC2 has ended one and told nobody",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                free(world, 1).await;
                let instance = some_instance(world);
                world.ec2(|ec2, now_ms| {
                    assert!(ec2.kill(now_ms, &instance));
                    drop(ec2.advance(now_ms + 5_000));
                });
                Act::Run(Task::ReapIdle)
            })
        },
    },
    Situation {
        name: "reap-idle, EC2 has one that no shard knows",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                free(world, 1).await;
                pool_tests::sim::chaos::start_by_hand(world);
                sleep(Duration::from_secs(31)).await;
                Act::Run(Task::ReapIdle)
            })
        },
    },
    Situation {
        name: "an instance runs",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                until(world, "one that boots", |shards| shards.iter().any(|shard| !shard.booting.is_empty())).await;
                let mut running = event_file("on-instance-state-change-terminated.json");
                running["detail"] = json!({"instance-id": booting(world), "state": "running"});
                Act::Run(Task::Event(running))
            })
        },
    },
    Situation {
        name: "a free instance is recommended to be replaced",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                free(world, 1).await;
                Act::Run(event("on-instance-state-change-rebalance.json", &some_instance(world)))
            })
        },
    },
    Situation {
        name: "a leased instance gets a warning",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                let held = lease(world, ANN).await;
                Act::Run(event("on-instance-state-change-spot-warning.json", &held.text("instance_id")))
            })
        },
    },
    Situation {
        name: "a leased instance is terminated",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                let held = lease(world, ANN).await;
                let instance = held.text("instance_id");
                world.ec2(|ec2, now_ms| assert!(ec2.kill(now_ms, &instance)));
                Act::Run(event("on-instance-state-change-terminated.json", &instance))
            })
        },
    },
];
