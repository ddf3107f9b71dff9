//! Over which shards the launches of a plan are spread, how each is written down, which are repeated, and how shards are
//! brought to their share of the cap.

use pool_core::control::{Control, CoolDown, Layout};
use pool_core::ids::{LaunchToken, ShardNo};
use pool_core::offering;
use pool_core::policy::Policy;
use pool_core::scale::{PlannedLaunch, Template, plan, resizes, stale_intents};
use pool_core::shard::{Intent, Launch, Market, Shard, Transition};

use crate::given::{Given, NOW, intent, launch_token, policy, shard};

fn template() -> Template {
    Template { id: "lt-1".to_owned(), version: 5, subnets: vec!["subnet-a".to_owned(), "subnet-b".to_owned()] }
}

fn keeping(min_available: u64) -> Policy {
    Policy { min_available, max_instances: 100, ..policy() }
}

fn launches(shards: &[Shard], control: &Control, policy: &Policy) -> Vec<PlannedLaunch> {
    plan(shards, control, policy, &template(), "browsers", NOW).launches
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
    let launch = |market, types: &[&str], subnets: &[&str]| Launch {
        template_id: "lt-1".to_owned(),
        template_version: 5,
        market,
        instance_types: types.iter().map(|&t| t.to_owned()).collect(),
        subnets: subnets.iter().map(|&s| s.to_owned()).collect(),
    };
    let planned = |sequence, count, launch: Launch| {
        let token = LaunchToken::trusted(format!("browsers-7-{sequence}-1795457600"));
        let intent = Intent { count, launch, since: NOW };
        let transition = Transition::Intend { launch: token.clone(), intent: intent.clone(), sequence };
        PlannedLaunch { shard: 7, launch: token, intent, transition }
    };
    let all = ["t2.medium", "t3.medium", "t3a.medium"];
    // One Spot offering cools, and the other subnet still has its type.
    let cool_down = CoolDown { until: NOW + 60, failures: 1, cause: String::new() };
    let cools = [("t2.medium", "subnet-a"), ("t2.medium", "subnet-b"), ("t3.medium", "subnet-a")];
    let offerings = cools.map(|(t, s)| (offering::name(t, s, Market::Spot), cool_down.clone()));
    let control = Control { offerings: offerings.into(), ..Control::default() };
    let policy = Policy { on_demand_base: 1, ..keeping(3) };
    assert_eq!(
        launches(&[shard(7)], &control, &policy),
        [
            planned(9, 1, launch(Market::OnDemand, &all, &["subnet-a", "subnet-b"])),
            planned(10, 2, launch(Market::Spot, &["t3.medium", "t3a.medium"], &["subnet-a", "subnet-b"])),
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
        [(7, 2, 9), (8, 1, 9), (7, 1, 10), (8, 2, 10)]
    );
}

#[test]
fn an_intent_whose_run_died_is_repeated_as_it_is() {
    let since = |seconds| Intent { since: NOW - seconds, ..intent(2, Market::Spot) };
    let shard = shard(7).with(|shard| {
        shard.intents =
            [(launch_token(1), since(60)), (launch_token(2), since(61)), (launch_token(3), since(500))].into();
    });
    assert_eq!(stale_intents(&shard, NOW), [(launch_token(2), since(61)), (launch_token(3), since(500))]);
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
