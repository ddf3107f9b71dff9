//! The items beside the shards, reads of many items, and shards that are not there or damaged.

mod engine;

use aws_sdk_dynamodb::types::AttributeValue;
use pool_core::control::Control;
use pool_core::ids::{InstanceId, TransferId};
use pool_core::node::Heartbeat;
use pool_core::shard::{Shard, Transition};
use pool_core::time::Timestamp;
use pool_store::{Store, StoreError, Woken};

const NOW: Timestamp = Timestamp(1_000);

fn instance(number: u32) -> InstanceId {
    InstanceId::trusted(format!("i-{number:017x}"))
}

#[tokio::test]
async fn the_control_item_is_written_by_one_of_two() {
    let (client, table) = engine::start().await;
    let store = Store::new(client, table);
    assert_eq!(store.control().await.expect("an answer"), None);

    let first = Control { scaled_out_at: NOW, ..Control::default() };
    assert!(store.put_control(&first).await.expect("an answer"));
    assert!(!store.put_control(&first).await.expect("an answer"), "the item exists");
    let read = store.control().await.expect("an answer").expect("written");
    assert_eq!(read, Control { version: 1, ..first });

    assert!(store.put_control(&read).await.expect("an answer"));
    assert!(!store.put_control(&read).await.expect("an answer"), "version 1 is past");
    assert_eq!(store.control().await.expect("an answer").expect("written").version, 2);
}

#[tokio::test]
async fn scale_is_woken_once_in_a_while() {
    let (client, table) = engine::start().await;
    let store = Store::new(client, table);
    assert_eq!(store.last_wake().await.expect("an answer"), None);
    let before = |after_seconds| Woken::Before(NOW + after_seconds);
    let attempts = [(0, Woken::Now), (0, before(0)), (4, before(0)), (5, Woken::Now), (9, before(5)), (10, Woken::Now)];
    for (after_seconds, woken) in attempts {
        let answer = store.wake(NOW + after_seconds, 5, None).await.expect("an answer");
        assert_eq!(answer, woken, "{after_seconds} s after the first");
    }
}

#[tokio::test]
async fn a_record_grows_from_notes_and_heartbeats_in_any_order() {
    let (client, table) = engine::start().await;
    let store = Store::new(client, table);
    assert_eq!(store.instance(&instance(1)).await.expect("an answer"), None);

    store.note(&instance(1), Some(3), "launched", "one waits", NOW).await.expect("an answer");
    let record = store.instance(&instance(1)).await.expect("an answer").expect("noted");
    assert_eq!((record.shard, record.healthy, record.beat_at, record.history.len()), (Some(3), true, None, 1));

    let beat = Heartbeat { healthy: false, cpu_percent: 12.5, memory_percent: 40.0, sessions: 2 };
    let record = store.heartbeat(&instance(1), &beat, Some(42), NOW + 30).await.expect("an answer");
    assert_eq!((record.healthy, record.sessions, record.beat_at), (false, 2, Some(NOW + 30)));
    assert!((record.cpu_percent - 12.5).abs() < 1e-9 && (record.memory_percent - 40.0).abs() < 1e-9);
    assert_eq!(record.history[0].why, "one waits");
    assert_eq!((record.ready_at, record.boot_seconds), (Some(NOW + 30), Some(42)));
    let later = store.heartbeat(&instance(1), &beat, None, NOW + 60).await.expect("an answer");
    assert_eq!((later.beat_at, later.ready_at, later.boot_seconds), (Some(NOW + 60), Some(NOW + 30), Some(42)));

    let record = store.heartbeat(&instance(2), &beat, None, NOW).await.expect("an answer");
    assert_eq!((record.shard, record.history.len(), record.boot_seconds), (None, 0, None));
    let asked = [instance(2), instance(9), instance(1), instance(2)];
    let records = store.instances(&asked).await.expect("an answer");
    let found: Vec<_> = records.into_iter().map(|record| record.instance).collect();
    assert_eq!(found, [instance(2), instance(1), instance(2)]);
}

#[tokio::test]
async fn a_full_history_takes_no_more() {
    let (client, table) = engine::start().await;
    let store = Store::new(client, table);
    for n in 0..103 {
        store.note(&instance(1), None, "beat", &n.to_string(), NOW + n).await.expect("an answer");
    }
    let history = store.instance(&instance(1)).await.expect("an answer").expect("noted").history;
    assert_eq!((history.len(), history[99].why.as_str()), (100, "99"));
}

#[tokio::test]
async fn all_shards_are_read_in_order_and_missing_ones_left_out() {
    let (client, table) = engine::start().await;
    let store = Store::new(client, table);
    for number in (0..230).filter(|number| *number != 7) {
        store.create_shard(number).await.expect("an answer");
    }
    let resize = Transition::Resize { from: 0, delta: 2, layout: 1 };
    store.apply(11, &resize).await.expect("an answer");
    store.create_shard(11).await.expect("making one that exists changes nothing");
    for consistent in [true, false] {
        let shards = store.read_all(230, consistent).await.expect("an answer");
        assert!(shards.iter().map(|shard| shard.number).eq((0..230).filter(|number| *number != 7)));
        assert_eq!(shards[10].share, 2);
    }
    assert_eq!(store.read_all(0, true).await.expect("an answer"), []);
    assert_eq!(store.read(7).await.expect("an answer"), None);
    assert_eq!(store.read(8).await.expect("an answer"), Some(Shard::new(8)));
}

#[tokio::test]
async fn a_damaged_shard_is_named() {
    let (client, table) = engine::start().await;
    let mut item = pool_store::codec::encode(&Shard::new(0));
    item.insert("free_ids".to_owned(), AttributeValue::L(vec![AttributeValue::Bool(true)]));
    client.put_item().table_name(&table).set_item(Some(item)).send().await.expect("the item is put");
    let store = Store::new(client, table);
    let cancel = Transition::Cancel { transfer: TransferId::trusted("1.0"), now: NOW };
    for error in [store.read(0).await.expect_err("damaged"), store.apply(0, &cancel).await.expect_err("damaged")] {
        assert!(matches!(&error, StoreError::Damaged { key, .. } if key == "shard#0"), "{error}");
        assert!(error.to_string().contains("free_ids"), "{error}");
        assert!(!error.is_throttled());
    }
}

#[tokio::test]
async fn an_error_of_the_engine_has_its_code() {
    let (client, _) = engine::start().await;
    let store = Store::new(client, "no-such-table");
    let error = store.read(0).await.expect_err("there is no such table");
    assert!(matches!(&error, StoreError::Engine { code, .. } if code == "ResourceNotFoundException"), "{error}");
}
