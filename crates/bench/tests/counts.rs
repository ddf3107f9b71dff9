//! The goals that do not depend on the machine, and that `docs/performance.md` tells what is so.

use pool_bench::baseline::Choice;
use pool_bench::claim::{Claim, Situation};
use pool_bench::contention::{self, CALLERS};
use pool_bench::counts::{claim, run, sizes};
use pool_bench::engine::Engine;
use pool_bench::plans::{Picture, Task};
use pool_bench::pool::Pool;
use pool_bench::report::{self, Section};
use pool_bench::sections::IN_USE_PERCENT;
use serde_json::Value;

/// Bytes that Lambda's answer may have
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>); API Gateway takes more.
const ANSWER_BYTES_MAX: usize = 6 * 1024 * 1024;

fn one_request(call: f64) -> bool {
    (call - 1.0).abs() < f64::EPSILON
}

#[test]
fn on_one_shard_every_call_is_one_request_however_full_it_is() {
    for size in [1, 8, 32] {
        for in_use_percent in IN_USE_PERCENT {
            for keyed in [false, true] {
                let situation = Situation { shards: 1, size, in_use_percent, keyed };
                let Claim { acquire, release, renew, false_none, .. } = run(claim(situation));
                let calls = [acquire, release, renew].map(|spent| spent.requests);
                assert!(calls.into_iter().all(one_request), "{situation:?}: {calls:?}");
                assert_eq!(false_none, 0, "{situation:?}");
            }
        }
    }
}

#[test]
fn on_32_shards_with_nine_of_ten_leased_an_acquire_is_1_3_requests_at_most() {
    let situation = Situation { shards: 32, size: 16, in_use_percent: 90, keyed: false };
    let Claim { acquire, release, renew, false_none, .. } = run(claim(situation));
    assert!(acquire.requests <= 1.3, "{acquire:?}");
    assert!(one_request(release.requests) && one_request(renew.requests), "{release:?} {renew:?}");
    assert_eq!(false_none, 0);
}

#[test]
fn of_a_thousand_callers_as_many_win_as_are_free_each_in_one_request_on_one_shard() {
    for seed in 1..=3 {
        let outcome = run(contention::sharded(32, 1, seed));
        assert_eq!((outcome.granted, outcome.distinct, outcome.false_none), (32, 32, 0), "seed {seed}");
        assert_eq!(outcome.requests_of_granted, (1, 1), "seed {seed}");
        let outcome = run(contention::sharded(100, 7, seed));
        assert_eq!((outcome.granted, outcome.distinct, outcome.false_none), (100, 100, 0), "seed {seed}");
    }
}

/// If the baselines did not work, beating them would say nothing.
#[test]
fn the_baselines_give_nothing_twice_and_one_of_them_gives_everything() {
    let random = run(contention::item_per_instance(32, Choice::Random, 1));
    assert_eq!((random.granted, random.distinct), (32, 32));
    let first = run(contention::item_per_instance(100, Choice::First, 1));
    assert_eq!(first.granted, first.distinct);
    assert!(first.granted < CALLERS && first.false_none > 0, "{first:?}");
}

#[test]
fn ten_thousand_instances_are_told_in_pages_that_lambda_can_answer() {
    run(async {
        let pool = Pool::ready(Engine::new(), 625, 16).await;
        let process = pool.process(1).await;
        let (mut from, mut told, mut pages) = (0, 0, 0);
        loop {
            let (status, text) = process.page(from).await;
            assert_eq!(status, 200, "{text}");
            assert!(text.len() < ANSWER_BYTES_MAX / 4, "{} bytes", text.len());
            let page: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(page["totals"]["free"], 10_000, "the sums are over all shards");
            told += page["instances"].as_array().map_or(0, Vec::len);
            pages += 1;
            // The control item, and a hundred shards in a request.
            assert_eq!(process.way.take().whole_requests(), 1 + 7);
            match page["next_shard"].as_u64() {
                Some(next) => from = next,
                None => break,
            }
        }
        assert_eq!((told, pages), (10_000, 6));
    });
}

#[test]
fn who_asks_for_a_page_that_cannot_be_is_told_how_to_ask() {
    run(async {
        let pool = Pool::ready(Engine::new(), 1, 1).await;
        let (status, text) = pool.process(1).await.page(u64::MAX).await;
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("next_shard"), "{text}");
    });
}

/// A plan that looks through the pool for each instance takes sixteen times as long over four times as many; one that
/// looks at each takes four times as long, and somewhat more where the processor's caches end.
#[test]
fn plans_grow_with_the_pool_and_not_with_its_square() {
    let (small, large) = (Picture::of(5_000), Picture::of(20_000));
    for task in Task::ALL {
        let ratio = large.time(task).as_secs_f64() / small.time(task).as_secs_f64();
        assert!(ratio < 12.0, "{}: {ratio}", task.name());
    }
}

fn assert_told(section: &Section) {
    let file = std::fs::read_to_string(report::file()).expect("docs/performance.md is there");
    let right = section.placed_in(&file).expect("it has a place");
    assert_eq!(right, file, "{} is out of date: cargo bench-pool {}", section.name, section.name);
    if let Some(picture) = &section.picture {
        let kept = std::fs::read_to_string(report::picture_file(section.name)).expect("its picture is there");
        assert_eq!(*picture, kept, "the picture of {0} is out of date: cargo bench-pool {0}", section.name);
    }
}

#[test]
fn the_table_of_sizes_is_right() {
    assert_told(&run(sizes()));
}

#[test]
fn the_table_of_costs_is_right() {
    assert_told(&run(pool_bench::counts::costs()));
}

#[test]
fn the_table_of_contention_is_right() {
    assert_told(&run(pool_bench::counts::contention()));
}
