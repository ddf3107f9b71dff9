//! The one transition that takes an instance out of service where it stands.

use pool_core::leaving::withdraw;
use pool_core::shard::{Apart, Shard, Transition};
use pool_core::time::Timestamp;

use crate::given::{Given, NOW, instance, leaves, shard};

fn withdrawn(shard: &Shard) -> Option<Transition> {
    withdraw(shard, &instance(1), "it must go", NOW + 9)
}

#[test]
fn an_instance_is_withdrawn_by_what_fits_its_place() {
    let mark = || Transition::Mark { instance: instance(1), leaving: leaves(NOW + 9) };
    let apart = |place| Transition::FenceApart { instance: instance(1), place, leaving: leaves(NOW + 9) };
    let fence = Transition::Fence { instance: instance(1), position: 1, keep: 0, leaving: leaves(NOW + 9) };
    for (shard, transition) in [
        (shard(7).free(2).free(1), fence),
        (shard(7).held(1, 1), mark()),
        (shard(7).handed_over(1, 1), mark()),
        (shard(7).booting(1), apart(Apart::Booting)),
        (shard(7).stopping(1), apart(Apart::Stopped)),
        (shard(7).resetting(1), apart(Apart::Resetting)),
    ] {
        assert_eq!(withdrawn(&shard), Some(transition));
    }
}

#[test]
fn what_leaves_already_is_under_way_or_unknown_is_left_alone() {
    for shard in [shard(7).moving(1), shard(7).member(1), shard(7).free(2), shard(7).booting(1).leaving(1, NOW)] {
        assert_eq!(withdrawn(&shard), None);
    }
    for later in [NOW + 10, Timestamp::NEVER] {
        assert_eq!(withdrawn(&shard(7).member(1).leaving(1, later)), None, "no lease is on it: it leaves now");
    }
}

#[test]
fn a_leased_instance_may_turn_out_to_leave_sooner_never_later() {
    let held = shard(7).held(1, 1);
    let mark = Transition::Mark { instance: instance(1), leaving: leaves(NOW + 9) };
    for later in [NOW + 10, Timestamp::NEVER] {
        assert_eq!(withdrawn(&held.clone().leaving(1, later)), Some(mark.clone()));
    }
    for sooner in [NOW + 9, NOW + 8] {
        assert_eq!(withdrawn(&held.clone().leaving(1, sooner)), None);
    }
}
