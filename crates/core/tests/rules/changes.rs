//! What happened between two pictures.

use pool_core::changes::between;
use serde_json::{Value, json};

fn instance(id: &str, state: &str) -> Value {
    json!({ "instance_id": id, "state": state, "leases_served": 1, "instance_type": "t3.medium", "market": "spot", "zone": "us-east-1a" })
}

fn picture(instances: &[Value]) -> Value {
    json!({ "totals": { "waiting": 0 }, "instances": instances, "growth": { "target": 1, "why": "1 kept free" }, "operator": {} })
}

#[test]
fn nothing_happened_between_a_picture_and_itself() {
    let picture = picture(&[instance("i-1", "free")]);
    assert_eq!(between(&picture, &picture), [""; 0]);
}

#[test]
fn instances_come_change_and_go() {
    let before = picture(&[
        instance("i-1", "free"),
        instance("i-2", "leased"),
        instance("i-3", "free"),
        instance("i-4", "leased"),
    ]);
    let mut retiring = instance("i-3", "free");
    retiring["retiring"] = "24 hours old".into();
    let mut served = instance("i-4", "leased");
    served["leases_served"] = 2.into();
    let after = picture(&[instance("i-1", "leased"), retiring, served, instance("i-5", "booting")]);
    let told = between(&before, &after);
    let wanted = [
        "i-1: free -> leased",
        "i-3 retires: 24 hours old",
        "i-4: the next lease, 1 before it",
        "i-5 is new: booting, t3.medium spot in us-east-1a",
        "i-2 is gone",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn waiters_plans_and_orders_are_told_of() {
    let calm = picture(&[]);
    let mut busy = calm.clone();
    busy["totals"]["waiting"] = 3.into();
    busy["growth"] = json!({ "target": 4, "why": "3 waiting + 1 kept free", "launching_stopped": "paused: look" });
    busy["operator"] =
        json!({ "paused": { "at": "x", "why": "look" }, "drained": { "at": "x", "why": "end" }, "max_instances": 9 });
    let told = between(&calm, &busy);
    let wanted = [
        "3 waiting, 0 before",
        "3 waiting + 1 kept free",
        "nothing is launched: paused: look",
        "paused: look",
        "the pool is emptied: end",
        "the cap is 9 by order",
    ];
    assert_eq!(told, wanted);
    let told = between(&busy, &calm);
    let wanted = [
        "0 waiting, 3 before",
        "1 kept free",
        "instances are launched again",
        "the pause is over",
        "the pool is filled again",
        "the cap is the deployed one again",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn what_a_picture_does_not_say_has_not_changed() {
    assert_eq!(between(&json!({}), &json!({})), [""; 0]);
    assert_eq!(between(&picture(&[instance("i-1", "free")]), &json!({})), [""; 0]);
    assert_eq!(between(&json!({}), &picture(&[instance("i-1", "free")])), [""; 0]);
}

#[test]
fn a_zone_is_told_once_it_is_known() {
    let mut new = instance("i-1", "booting");
    new["zone"] = "".into();
    assert_eq!(between(&picture(&[]), &picture(&[new])), ["i-1 is new: booting, t3.medium spot"]);
}
