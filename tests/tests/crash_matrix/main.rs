//! Every function dies at every one of its requests, before it is sent and after it took effect, in every situation of
//! `situations` and `of_policy`; then the ordinary schedules run, and after five minutes everything must agree. Pairs of crashes are
//! sampled.

mod of_policy;
mod situations;

use pool_tests::sim::background::{Task, once};
use pool_tests::sim::callers::{call, call_once};
use pool_tests::sim::invocation::CrashAt;
use pool_tests::sim::run::{begin, quiet, report};
use pool_tests::sim::{Report, World};
use tokio::task::LocalSet;

use situations::{Act, Situation, plan};

/// The situation, the act with a crash, perhaps another crash in the run that follows, and five ordinary minutes.
/// Answers how many requests the act made.
fn play(situation: &Situation, crash: Option<CrashAt>, second: Option<(Task, CrashAt)>) -> (Report, u32) {
    let plan = plan(situation);
    fastrand::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without IO needs nothing");
    LocalSet::new().block_on(&runtime, async {
        let world = World::new(plan);
        begin(&world);
        let act = (situation.prepare)(&world).await;
        let requests = match &act {
            Act::Call(request) => call_once(&world, request.clone(), crash).await.1,
            Act::Run(task) => once(&world, task, crash).await.1,
        };
        if let Some((task, crash)) = second {
            let _crashed = once(&world, &task, Some(crash)).await;
        }
        let rest = async {
            if let Act::Call(request) = act {
                // A caller that was told nothing asks again.
                call(&world, request).await;
            }
            quiet(&world).await;
        };
        tokio::select! {
            biased;
            () = world.over.notified() => {}
            () = rest => {}
        }
        (report(&world), requests)
    })
}

fn all() -> impl Iterator<Item = &'static Situation> {
    situations::SITUATIONS.iter().chain(of_policy::SITUATIONS)
}

fn expect_sound(report: &Report, told: &str) {
    if let Some(verdict) = &report.verdict {
        panic!("{told}: {verdict}\n{}", report.tail);
    }
}

/// All crashes in the situations of one of three parts.
fn part(part: usize) {
    let mut plays = 0;
    for situation in all().skip(part).step_by(3) {
        let name = situation.name;
        let (clean, requests) = play(situation, None, None);
        expect_sound(&clean, name);
        assert!(requests > 0, "{name} makes no request");
        for request in 0..requests {
            for after in [false, true] {
                let crash = CrashAt { request, after };
                let (report, _) = play(situation, Some(crash), None);
                expect_sound(&report, &format!("{name}, {crash:?}"));
                plays += 1;
            }
        }
        println!("{name}: {requests} requests, each a crash before and after");
    }
    println!("{plays} crashes");
}

#[test]
fn failure_01_every_crash_part_0() {
    part(0);
}

#[test]
fn failure_01_every_crash_part_1() {
    part(1);
}

#[test]
fn failure_01_every_crash_part_2() {
    part(2);
}

#[test]
fn pairs_of_crashes() {
    let mut random = pool_tests::random::Random::seeded();
    let mut plays = 0;
    for situation in all() {
        let (_, requests) = play(situation, None, None);
        for _ in 0..4 {
            let mut crash = |requests: usize| CrashAt {
                request: u32::try_from(random.below(requests)).expect("a small number"),
                after: random.below(2) == 1,
            };
            let first = crash(usize::try_from(requests.max(1)).expect("a small number"));
            let second = crash(8);
            let task = if random.below(2) == 0 { Task::Scale } else { Task::ReapIdle };
            let told = format!("{}, {first:?}, then {task:?} {second:?}", situation.name);
            let (report, _) = play(situation, Some(first), Some((task, second)));
            expect_sound(&report, &told);
            plays += 1;
        }
    }
    println!("{plays} pairs");
}
