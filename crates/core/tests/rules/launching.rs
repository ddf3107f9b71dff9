//! Over which shards the launches of a plan are spread, how each is written down, which are repeated, and how shards are
//! brought to their share of the cap.

use pool_core::control::{Control, CoolDown, Layout};
use pool_core::ids::{LaunchToken, ShardNo};
use pool_core::launch_budget::LaunchBudget;
use pool_core::offering;
use pool_core::policy::Policy;
use pool_core::scale::{PlannedLaunch, Repeat, plan, repeats, resizes};
use pool_core::shard::{Intent, Launch, Market, Shard, Transition};

use crate::given::{Given, NOW, intent, launch_token, policy, seen, shard, template};

fn keeping(min_available: u64) -> Policy {
    Policy { min_available, max_instances: 100, ..policy() }
}

fn launches(shards: &[Shard], control: &Control, policy: &Policy) -> Vec<PlannedLaunch> {
    plan(seen(shards, control, policy), &template(), "browsers").launches
}

/// Which shard launches how many under which number, in the order of the plan.
fn spread(shards: &[Shard], policy: &Policy) -> Vec<(ShardNo, u64, u64)> {
    let brief = |launch: PlannedLaunch| {
        let Transition::Intend { sequence, .. } = launch.transition else { panic!("an intent is written") };
        (launch.shard, launch.intent.count, sequence)
    };
    launches(shards, &Control::default(), policy).into_iter().map(brief).collect()
}

fn with_room(number: ShardNo, room: i64) -> Shard {
    shard(number).with(|shard| shard.room = room)
}

#[test]
fn a_launch_is_written_down_with_its_token_and_its_exact_parameters() {
    let launch = |market, types: &[&str], except: &[(&str, &str)]| Launch {
        template_id: "lt-1".to_owned(),
        template_version: 5,
        market,
        instance_types: types.iter().map(|&t| t.to_owned()).collect(),
        subnets: template().subnets,
        except: except.iter().map(|&(t, s)| (t.to_owned(), s.to_owned())).collect(),
        sessions: 1,
    };
    let planned = |sequence, count, launch: Launch| {
        let token = LaunchToken::trusted(format!("browsers-7-{sequence}-1795457600"));
        let intent = Intent { count, launch, since: NOW };
        let transition = Transition::Intend { launch: token.clone(), intent: intent.clone(), sequence };
        PlannedLaunch { shard: 7, launch: token, intent, transition }
    };
    let all = ["t2.medium", "t3.medium", "t3a.medium"];
    // One type cools in both subnets. Another does in one of them: the pair is left out, the type and the subnet are not.
    let cool_down = CoolDown { until: NOW + 60, failures: 1, cause: String::new() };
    let cools = [("t2.medium", "subnet-a"), ("t2.medium", "subnet-b"), ("t3.medium", "subnet-a")];
    let offerings = cools.map(|(t, s)| (offering::name(t, s, Market::Spot), cool_down.clone()));
    let control = Control { offerings: offerings.into(), ..Control::default() };
    let policy = Policy { on_demand_base: 1, ..keeping(3) };
    assert_eq!(
        launches(&[shard(7)], &control, &policy),
        [
            planned(9, 1, launch(Market::OnDemand, &all, &[])),
            planned(10, 2, launch(Market::Spot, &["t3.medium", "t3a.medium"], &[("t3.medium", "subnet-a")])),
        ]
    );
}

#[test]
fn shards_fill_evenly_and_the_one_with_most_room_first() {
    let shards = [with_room(7, 4), with_room(8, 6)];
    assert_eq!(spread(&shards, &keeping(1)), [(8, 1, 9)]);
    assert_eq!(spread(&shards, &keeping(2)), [(8, 2, 9)]);
    assert_eq!(spread(&shards, &keeping(5)), [(8, 3, 9), (7, 2, 9)]);
    assert_eq!(spread(&shards, &keeping(10)), [(8, 6, 9), (7, 4, 9)]);
    assert_eq!(spread(&[with_room(7, 0), with_room(8, 2)], &keeping(2)), [(8, 2, 9)]);
}

#[test]
fn a_shard_with_waiters_comes_before_one_with_more_room() {
    let shards = [with_room(7, 9), with_room(8, 2).waiting(1)];
    assert_eq!(spread(&shards, &keeping(0)), [(8, 1, 9)]);
    assert_eq!(spread(&shards, &keeping(3)), [(8, 1, 9), (7, 3, 9)]);
    let crowded = with_room(8, 2).waiting(1).waiting(2).waiting(3);
    assert_eq!(spread(&[with_room(7, 9), crowded], &keeping(0)), [(8, 2, 9), (7, 1, 9)], "it has no more room");
}

#[test]
fn instances_on_their_way_cover_the_waiters_of_their_shard() {
    let waiting = |shard: Shard, tokens: std::ops::Range<u8>| tokens.fold(shard, Given::waiting);
    // Five wait for three that come, and three for none.
    let covered = waiting(with_room(7, 9), 0..5).booting(1).booting(2).intending(1, 1);
    let bare = waiting(with_room(8, 8), 10..13);
    assert_eq!(spread(&[covered, bare], &keeping(0)), [(8, 3, 9), (7, 2, 9)]);
    let one_short = waiting(with_room(7, 9), 0..2).booting(1).booting(2).booting(3);
    let bare = waiting(with_room(8, 8), 10..12);
    assert_eq!(spread(&[one_short, bare], &keeping(0)), [(8, 1, 9)], "one too many here is not one less there");
}

#[test]
fn one_launch_asks_for_sixteen_at_most_and_each_has_its_own_number() {
    let shards = [with_room(7, 40)];
    assert_eq!(spread(&shards, &keeping(16)), [(7, 16, 9)]);
    assert_eq!(spread(&shards, &keeping(17)), [(7, 16, 9), (7, 1, 10)]);
    assert_eq!(spread(&shards, &keeping(35)), [(7, 16, 9), (7, 16, 10), (7, 3, 11)]);
}

#[test]
fn the_second_market_has_the_room_that_the_first_one_left() {
    let policy = Policy { on_demand_base: 3, ..keeping(7) };
    let shards = [with_room(7, 5), with_room(8, 2)];
    assert_eq!(spread(&shards, &policy), [(7, 3, 9), (7, 2, 10), (8, 2, 9)]);
    let shards = [with_room(7, 6), with_room(8, 5)];
    assert_eq!(
        spread(&shards, &Policy { on_demand_base: 3, ..keeping(6) }),
        [(7, 2, 9), (8, 1, 9), (7, 2, 10), (8, 1, 10)]
    );
}

#[test]
fn an_intent_whose_run_died_is_repeated_as_it_is_the_oldest_first() {
    let since = |seconds| Intent { since: NOW - seconds, ..intent(2, Market::Spot) };
    let first = shard(7).with(|shard| {
        shard.intents = [(launch_token(1), since(60)), (launch_token(2), since(61))].into();
    });
    let second = shard(8).with(|shard| shard.intents = [(launch_token(3), since(500))].into());
    let (repeated, after) = repeats(&[first, second], &Control::default(), NOW);
    let repeat =
        |shard, n, seconds| Repeat { shard, launch: launch_token(n), intent: since(seconds), called_at: NOW - seconds };
    assert_eq!(repeated, [repeat(8, 3, 500), repeat(7, 2, 61)]);
    let launch_budget = LaunchBudget { calls: 3, counted_at: NOW, refusals: 0 };
    let known = [2, 3].map(|n| (launch_token(n), NOW)).into();
    assert_eq!(after, Control { launch_budget, repeated: known, ..Control::default() });
    assert_eq!(repeats(&[shard(7).intending(1, 2)], &Control::default(), NOW), (Vec::new(), Control::default()));
}

#[test]
fn an_intent_is_repeated_by_one_run_at_a_time() {
    let shards = [shard(7).with(|shard| {
        let old = Intent { since: NOW - 500, ..intent(2, Market::Spot) };
        shard.intents = [(launch_token(1), old.clone()), (launch_token(2), old)].into();
    })];
    let repeated = [(launch_token(1), NOW - 60), (launch_token(2), NOW - 61), (launch_token(9), NOW - 5)].into();
    let (again, after) = repeats(&shards, &Control { repeated, ..Control::default() }, NOW);
    let [again] = &again[..] else { panic!("one is repeated: {again:?}") };
    assert_eq!((&again.launch, again.called_at), (&launch_token(2), NOW - 61), "its last call may still arrive");
    let known = [(launch_token(1), NOW - 60), (launch_token(2), NOW)].into();
    assert_eq!(after.repeated, known, "and what is no intent any more is forgotten");
    let known = [(launch_token(1), NOW - 60), (launch_token(2), NOW - 61)].into();
    assert_eq!(again.was_refused(&after).repeated, known, "a refused call is over, the one before it is not");
}

#[test]
fn a_call_arrives_within_the_life_of_its_signature_and_a_run() {
    let called = |seconds| Repeat {
        shard: 7,
        launch: launch_token(1),
        intent: intent(2, Market::Spot),
        called_at: NOW - seconds,
    };
    assert!(!called(360).is_the_last_call(NOW));
    assert!(called(361).is_the_last_call(NOW));
}

#[test]
fn no_more_intents_are_repeated_than_the_launch_budget_has_calls_for() {
    let since = |seconds| Intent { since: NOW - seconds, ..intent(2, Market::Spot) };
    let many = shard(7).with(|shard| shard.intents = (1..=9).map(|n| (launch_token(n), since(500 - n))).collect());
    for (calls, repeated) in [(0, 0), (2, 2), (5, 5)] {
        let launch_budget = LaunchBudget { calls, counted_at: NOW, refusals: 1 };
        let control = Control { launch_budget, ..Control::default() };
        let (again, after) = repeats(std::slice::from_ref(&many), &control, NOW);
        let again: Vec<_> = again.into_iter().map(|repeat| (repeat.launch, repeat.intent)).collect();
        let oldest: Vec<_> = (1..=repeated).map(|n| (launch_token(n), since(500 - n))).collect();
        assert_eq!((again, after.launch_budget.calls), (oldest, 0), "{calls} calls");
    }
}

/// Each launch is a call of its own, so a burst goes to the five shards with most room and the rest waits for the refill.
#[test]
fn a_burst_is_packed_into_no_more_shards_than_the_budget_has_calls_for() {
    let shards: Vec<Shard> = (1..=8).map(|number| with_room(number, 4 + i64::from(number))).collect();
    assert_eq!(spread(&shards, &keeping(40)), [(8, 10, 9), (7, 9, 9), (6, 8, 9), (5, 7, 9), (4, 6, 9)]);
    assert_eq!(spread(&shards, &keeping(51)), spread(&shards, &keeping(50)), "these five have no more room");
    let budget = |calls, counted_at| Control {
        launch_budget: LaunchBudget { calls, counted_at, refusals: 0 },
        ..Control::default()
    };
    let of = |control: &Control| launches(&shards, control, &keeping(40)).iter().map(|l| l.shard).collect::<Vec<_>>();
    assert_eq!(of(&budget(1, NOW)), [8]);
    assert_eq!(of(&budget(1, NOW - 1)), [8, 7, 6], "two come back each second");
    assert!(of(&budget(0, NOW)).is_empty());
    let used_up = plan(seen(&shards, &budget(0, NOW), &keeping(40)), &template(), "browsers");
    assert!(used_up.why.ends_with(": the launch budget is used up"), "{}", used_up.why);
}

#[test]
fn every_share_is_cut_before_any_is_raised() {
    let layout = Layout { number: 5, max_instances: 32, shards: 2, ..Layout::default() };
    let share = |number, share| shard(number).with(|shard| shard.share = share);
    let resize = |number, from, delta| (number, Transition::Resize { from, delta, layout: 5 });
    let seen = share(4, 9).with(|shard| shard.layout = 5);
    let ahead = share(5, 9).with(|shard| shard.layout = 6);
    let shards = [share(0, 20), share(1, 10), share(2, 5), share(3, 0), seen.clone(), ahead.clone()];
    assert_eq!(resizes(&shards, &layout), [resize(2, 5, -5), resize(0, 20, -4), resize(3, 0, 0)]);
    let after = [share(0, 14), share(1, 10), share(3, 0), seen, ahead];
    assert_eq!(resizes(&after, &layout), [resize(3, 0, 0), resize(0, 14, 2), resize(1, 10, 6)]);
    assert_eq!(resizes(&[], &layout), []);
}
