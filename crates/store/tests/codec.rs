//! Whatever shard is written is read back the same, and whatever damage is read is an error.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use pool_core::ids::{InstanceId, LaunchToken, NodeKey, Owner, Token, TransferId};
use pool_core::shard::{
    Fate, Intent, Kind, Launch, Leaving, Market, Member, Shard, StopPhase, Stopped, Terms, Tombstone, Transfer,
};
use pool_core::time::Timestamp;
use pool_store::codec::{decode, encode};
use proptest::collection::{btree_map, vec};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::{Index, select};

fn text() -> impl Strategy<Value = String> {
    "[ -~äß]{0,12}"
}

fn id<T>(trusted: fn(String) -> T) -> impl Strategy<Value = T>
where
    T: std::fmt::Debug,
{
    "[a-zA-Z0-9_.-]{1,12}".prop_map(trusted)
}

fn time() -> impl Strategy<Value = Timestamp> {
    whole().prop_map(Timestamp)
}

fn map_of<K: Ord + std::fmt::Debug, V: std::fmt::Debug>(
    key: impl Strategy<Value = K>,
    value: impl Strategy<Value = V>,
) -> impl Strategy<Value = BTreeMap<K, V>> {
    btree_map(key, value, 0..4)
}

fn instance() -> impl Strategy<Value = InstanceId> {
    id(InstanceId::trusted)
}

fn token() -> impl Strategy<Value = Token> {
    id(Token::trusted)
}

fn market() -> impl Strategy<Value = Market> {
    select(vec![Market::Spot, Market::OnDemand])
}

fn member() -> impl Strategy<Value = Member> {
    // EC2's names of zones and types have no slash in them.
    let name = || "[a-z0-9.-]{0,12}";
    let kind = (name(), name(), market(), any::<u64>()).prop_map(|(instance_type, zone, market, template_version)| {
        Kind { instance_type, zone, market, template_version }
    });
    (text(), text(), whole(), time(), whole(), kind).prop_map(|(address, key, boot_id, since, served, kind)| Member {
        address,
        key: NodeKey::stored(key.as_bytes()),
        boot_id,
        since,
        served,
        kind,
    })
}

/// As large as a number can be that is counted on from.
fn whole() -> impl Strategy<Value = u64> {
    0..1_000_000_000_000_000_000_u64
}

/// A count of instances; below zero it is what is too many.
fn count() -> impl Strategy<Value = i64> {
    -1_000_000_000..=1_000_000_000_i64
}

fn terms() -> impl Strategy<Value = Terms> {
    (id(Owner::trusted), time(), time(), whole()).prop_map(|(owner, until, hard_end, ttl_seconds)| Terms {
        owner,
        until,
        hard_end,
        ttl_seconds,
    })
}

fn intent() -> impl Strategy<Value = Intent> {
    let except = vec((text(), text()), 0..2);
    let launch = (text(), any::<u64>(), market(), vec(text(), 0..3), vec(text(), 0..3), except, 1..=16_u64).prop_map(
        |(template_id, template_version, market, instance_types, subnets, except, sessions)| Launch {
            template_id,
            template_version,
            market,
            instance_types,
            subnets,
            except,
            sessions,
        },
    );
    (0..=1_000_000_000_u64, launch, time()).prop_map(|(count, launch, since)| Intent { count, launch, since })
}

fn stopped() -> impl Strategy<Value = Stopped> {
    (select(vec![StopPhase::Stopping, StopPhase::Stopped]), time()).prop_map(|(phase, since)| Stopped { phase, since })
}

fn tombstone() -> impl Strategy<Value = Tombstone> {
    let fate = select(vec![Fate::Taken, Fate::Cancelled, Fate::Gone, Fate::Doomed]);
    (time(), fate).prop_map(|(written, fate)| Tombstone { written, fate })
}

fn shard() -> impl Strategy<Value = Shard> {
    let counters = (any::<u32>(), whole(), whole(), count(), count(), whole());
    let leases = (
        map_of(token(), instance()),
        map_of(token(), any::<u64>()),
        map_of(token(), terms()),
        vec(token(), 0..4),
        map_of(token(), terms()),
        map_of(token(), time()),
    );
    let leaving = (text(), time()).prop_map(|(why, deadline)| Leaving { why, deadline });
    let instances = (
        vec(instance(), 0..4),
        map_of(instance(), member()),
        map_of(instance(), any::<u64>()),
        map_of(instance(), stopped()),
        map_of(instance(), any::<u64>()),
        map_of(instance(), leaving),
    );
    let transfer =
        (any::<u32>(), id(TransferId::trusted), time()).prop_map(|(to, id, since)| Transfer { to, id, since });
    let moves = (
        map_of(id(LaunchToken::trusted), intent()),
        map_of(instance(), transfer),
        map_of("[a-zA-Z0-9.-]{1,12}", tombstone()),
    );
    (counters, leases, instances, moves).prop_map(|(counters, leases, instances, moves)| {
        let (number, epoch, sequence, room, share, layout) = counters;
        let (leases, lease_epochs, lease_terms, queue, queue_terms, claims) = leases;
        let (free, members, booting, stopped, resetting, leaving) = instances;
        let (intents, transfers, tombstones) = moves;
        Shard {
            number,
            epoch,
            sequence,
            room,
            share,
            layout,
            free,
            members,
            leases,
            lease_epochs,
            lease_terms,
            queue,
            queue_terms,
            claims,
            booting,
            stopped,
            resetting,
            leaving,
            intents,
            transfers,
            tombstones,
        }
    })
}

proptest! {
    #[test]
    fn a_shard_survives_the_round_trip(shard in shard()) {
        prop_assert_eq!(decode(&encode(&shard)), Ok(shard));
    }

    /// A missing attribute and one of another type are errors that name it, not panics.
    #[test]
    fn damage_is_an_error_that_names_the_attribute(shard in shard(), which in any::<Index>(), missing: bool) {
        let mut item = encode(&shard);
        let mut names: Vec<_> = item.keys().cloned().collect();
        names.sort_unstable();
        let name = which.get(&names).clone();
        if missing {
            item.remove(&name);
        } else {
            item.insert(name.clone(), AttributeValue::Bool(true));
        }
        let told = decode(&item).expect_err("the item is damaged").to_string();
        prop_assert!(told.contains(&name), "{} is not in {:?}", name, told);
    }

    /// So is an entry that is not what it should be.
    #[test]
    fn a_damaged_entry_is_an_error_that_says_where(shard in shard(), which in any::<Index>()) {
        let mut item = encode(&shard);
        let mut entries: Vec<(String, String)> = Vec::new();
        for (name, value) in &item {
            entries.extend(value.as_m().into_iter().flat_map(|map| map.keys()).map(|id| (name.clone(), id.clone())));
        }
        entries.sort_unstable();
        if entries.is_empty() {
            return Ok(());
        }
        let (name, id) = which.get(&entries);
        if let Some(AttributeValue::M(map)) = item.get_mut(name) {
            map.insert(id.clone(), AttributeValue::M([("x".to_owned(), AttributeValue::N("-1".to_owned()))].into()));
        }
        let told = decode(&item).expect_err("the entry is damaged").to_string();
        prop_assert!(told.contains(&format!("{name}.{id}")), "{} is not in {:?}", name, told);
    }
}
