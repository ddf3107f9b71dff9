//! Stored items: whatever stands in the table is a shard or damage that says where it is wrong, a shard is written as it was
//! read, and a handler that meets either answers as documented and does not panic.

use std::collections::HashMap;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use data_encoding::BASE64;
use pool_core::ids::{InstanceId, LaunchToken, NodeKey, Owner, Token, TransferId};
use pool_core::shard::{
    Fate, Intent, Kind, Launch, Leaving, Market, Member, Shard, StopPhase, Stopped, Terms, Tombstone, Transfer,
};
use pool_core::time::Timestamp;
use pool_store::codec::{Item, decode, encode};
use pool_tests::Route;
use pool_tests::bench::{Items, START_SECONDS};
use serde_json::{Value, json};

use crate::bed::{Bed, event_about};
use crate::choices::Choices;
use crate::mutate;
use crate::run::fuzz;

/// Inputs of an ordinary run.
const DRAWS: usize = 800;

/// Kinds of values that DynamoDB has.
const KINDS: [&str; 10] = ["S", "N", "BOOL", "NULL", "L", "M", "B", "SS", "NS", "BS"];

/// Numbers at the ends of what an attribute can hold, and words that are none.
const NUMBERS: [&str; 20] = [
    "0",
    "-0",
    "1",
    "-1",
    "01",
    "1.0",
    "0.5",
    "1e3",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "99999999999999999999999999999999999999",
    "1E+125",
    "NaN",
    "",
];

struct Target {
    /// Each with its items.
    beds: [(Bed, Items); 2],
    /// A shard in which something is in every place there is.
    rich: Value,
}

impl Target {
    fn take(&self, bytes: &[u8]) {
        let choices = &mut Choices::of(bytes);
        let (bed, items) = &self.beds[choices.below(2)];
        let (key, sound) = match choices.below(6) {
            0 => ("shard#0", &self.rich),
            number => {
                let key = items.keys().nth(number % items.len()).expect("there are items");
                (key.as_str(), &items[key])
            }
        };
        let mut item = sound.clone();
        change(&mut item, choices);
        Self::read(&attributes(&item));
        // What the table itself refuses cannot stand in it.
        if bed.bench.put(&item) && item["pk"]["S"] == key {
            // The table writes numbers in its own way.
            let stored = bed.bench.item(key).expect("it was put there");
            let damaged = key.starts_with("shard#") && Self::read(&stored);
            Self::meet(bed, damaged, choices);
        }
        bed.restore();
    }

    /// Reads a shard's item; whether it is damaged.
    fn read(item: &Item) -> bool {
        match decode(item) {
            Ok(shard) => {
                let again = decode(&encode(&shard));
                assert_eq!(again.as_ref(), Ok(&shard), "it is read differently from how it was written");
                false
            }
            Err(damage) => {
                assert!(!damage.to_string().is_empty());
                true
            }
        }
    }

    /// Some function meets the item.
    fn meet(bed: &Bed, damaged: bool, choices: &mut Choices<'_>) {
        let bench = &bed.bench;
        // Another process may have written it, so this one has seen nothing of it.
        let environment = bench.fresh_environment();
        match choices.below(12) {
            kind @ 0..9 => {
                let route = Route::ALL[kind % Route::ALL.len()];
                let event: ApiGatewayV2httpRequest =
                    serde_json::from_value(bed.sound(route).event).expect("a sound request");
                let answer = bed.runtime.block_on(bench.answer(&environment, route, event));
                let documented = bed.documented.contains(&(route.key().to_owned(), answer.status));
                assert!(documented, "{} does not document {answer:?}", route.key());
                if damaged && route == Route::Pool {
                    answer.is_problem(503, "unavailable");
                }
            }
            // They may fail, which Lambda reports, or not; they do not panic.
            9 => drop(bed.runtime.block_on(async {
                // A woken run reads this, too.
                environment.store.last_wake().await?;
                scale::handle(&environment, &bench.fleet, &bench.ec2_settings).await
            })),
            10 => drop(bed.runtime.block_on(reap_idle::handle(&environment, &bench.fleet))),
            _ => {
                let file = choices
                    .pick(&["on-instance-state-change-spot-warning.json", "on-instance-state-change-terminated.json"]);
                let event = serde_json::from_value(event_about(file, &bed.instance)).expect("an event");
                drop(bed.runtime.block_on(on_instance_state_change::handle(&environment, &bench.fleet, event)));
            }
        }
    }
}

/// Changes an item: as JSON like any other, or as DynamoDB's, whose values have a kind.
fn change(item: &mut Value, choices: &mut Choices<'_>) {
    let count = choices.below(4);
    for _ in 0..count {
        let mut values = Vec::new();
        collect(item, &mut Vec::new(), &mut values);
        let Some(path) = values.get(choices.below(values.len())) else { break };
        let Some(value) = item.pointer_mut(path) else { break };
        *value = match choices.below(6) {
            0 => json!({ "N": choices.pick(&NUMBERS) }),
            1 => json!({ "S": mutate::text(choices) }),
            2 => json!({ choices.pick(&KINDS): value.as_object().and_then(|one| one.values().next().cloned()) }),
            3 => json!({ choices.pick(&KINDS): mutate::value(choices) }),
            4 => json!({"M": {}}),
            _ => json!({"L": [{"S": choices.pick(&mutate::TEXTS)}]}),
        };
    }
    if choices.below(3) == 1 {
        mutate::change(item, choices);
    }
    if let Some(key) = item.get_mut("pk").filter(|_| choices.below(16) == 1) {
        *key = json!({ "S": mutate::text(choices) });
    }
}

/// Paths of everything in an item that has a kind.
fn collect(value: &Value, path: &mut Vec<String>, found: &mut Vec<String>) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        path.push(name.replace('~', "~0").replace('/', "~1"));
        if inner.as_object().is_some_and(|one| one.len() == 1 && one.keys().all(|kind| KINDS.contains(&kind.as_str())))
        {
            found.push(format!("/{}", path.join("/")));
            if inner["M"].is_object() {
                path.push("M".to_owned());
                collect(&inner["M"], path, found);
                path.pop();
            }
        }
        path.pop();
    }
}

/// DynamoDB's JSON as the SDK has it. What is no JSON of DynamoDB's becomes a kind that no attribute of ours has.
fn attributes(item: &Value) -> Item {
    item.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn attribute(value: &Value) -> AttributeValue {
    let kind = value.as_object().and_then(|one| one.iter().next());
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
    };
    match kind.map(|(kind, inner)| (kind.as_str(), inner)) {
        Some(("S", Value::String(text))) => AttributeValue::S(text.clone()),
        Some(("N", Value::String(text))) => AttributeValue::N(text.clone()),
        Some(("BOOL", Value::Bool(flag))) => AttributeValue::Bool(*flag),
        Some(("L", Value::Array(list))) => AttributeValue::L(list.iter().map(attribute).collect()),
        Some(("M", map @ Value::Object(_))) => AttributeValue::M(attributes(map)),
        Some(("SS", list)) => AttributeValue::Ss(texts(list)),
        Some(("NS", list)) => AttributeValue::Ns(texts(list)),
        Some(("BS", list)) => AttributeValue::Bs(texts(list).into_iter().map(Blob::new).collect()),
        // What is no base64 is bytes all the same.
        Some(("B", text)) => {
            let text = text.as_str().unwrap_or_default().as_bytes();
            AttributeValue::B(Blob::new(BASE64.decode(text).unwrap_or_else(|_| text.to_vec())))
        }
        _ => AttributeValue::Null(true),
    }
}

/// An item of the SDK as DynamoDB's JSON.
fn json_of(item: &HashMap<String, AttributeValue>) -> Value {
    item.iter().map(|(name, value)| (name.clone(), one_json(value))).collect::<serde_json::Map<_, _>>().into()
}

fn one_json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(text) => json!({ "N": text }),
        AttributeValue::B(bytes) => json!({ "B": BASE64.encode(bytes.as_ref()) }),
        AttributeValue::L(list) => json!({ "L": list.iter().map(one_json).collect::<Vec<_>>() }),
        AttributeValue::M(map) => json!({ "M": json_of(map) }),
        other => panic!("no shard has {other:?}"),
    }
}

/// A shard in which something is in every place there is.
fn rich() -> Shard {
    let instance = |number: u32| InstanceId::trusted(format!("i-{number:017x}"));
    let token = |number: u8| Token::from_bytes([number; Token::BYTES]);
    let now = Timestamp(START_SECONDS);
    let kind = Kind {
        instance_type: "t3.medium".into(),
        zone: "us-east-1a".into(),
        market: Market::Spot,
        template_version: 1,
    };
    let member = |number: u32| Member {
        address: format!("10.0.0.{number}"),
        key: NodeKey::told(&"f".repeat(32), None).expect("a key"),
        boot_id: 1,
        since: now,
        served: 3,
        kind: kind.clone(),
    };
    let terms = Terms { owner: Owner::of(crate::bed::ANN), until: now + 60, hard_end: now + 600, ttl_seconds: 60 };
    let launch = Launch {
        template_id: "lt-1".into(),
        template_version: 1,
        market: Market::OnDemand,
        instance_types: vec!["t3.medium".into()],
        subnets: vec!["subnet-1".into()],
        except: Vec::new(),
        sessions: 1,
    };
    let mut shard = Shard::new(0);
    (shard.epoch, shard.sequence, shard.room, shard.share, shard.layout) = (40, 7, 1, 9, 1);
    shard.members = (1..=7).map(|number| (instance(number), member(number))).collect();
    shard.free = Vec::new();
    shard.leases = [(token(1), instance(1)), (token(2), instance(2))].into();
    shard.lease_epochs = [(token(1), 20), (token(2), 21)].into();
    shard.lease_terms = [(token(1), terms.clone()), (token(2), terms.clone())].into();
    shard.claims = [(token(2), now + 10)].into();
    shard.queue = vec![token(3)];
    shard.queue_terms = [(token(3), terms)].into();
    shard.booting = [(instance(3), 5)].into();
    shard.stopped = [(instance(4), Stopped { phase: StopPhase::Stopped, since: now })].into();
    shard.resetting = [(instance(5), 19)].into();
    shard.leaving = [(instance(1), Leaving { why: "spot".into(), deadline: now + 120 })].into();
    shard.leaving.insert(instance(7), Leaving { why: "idle".into(), deadline: Timestamp::NEVER });
    shard.transfers = [(instance(6), Transfer { to: 1, id: TransferId::trusted("m-1"), since: now })].into();
    shard.intents = [(LaunchToken::trusted("l-1"), Intent { count: 1, launch, since: now })].into();
    shard.tombstones = [Fate::Taken, Fate::Cancelled, Fate::Gone, Fate::Doomed]
        .into_iter()
        .map(|fate| (format!("{fate:?}"), Tombstone { written: now, fate }))
        .collect();
    shard
}

#[test]
fn any_item_is_read_or_said_to_be_damaged_and_no_function_panics_over_it() {
    let beds = [false, true].map(Bed::new).map(|bed| {
        let items = bed.bench.items();
        (bed, items)
    });
    let target = Target { beds, rich: json_of(&encode(&rich())) };
    fuzz!("items", DRAWS, |bytes: &[u8]| target.take(bytes));
}
