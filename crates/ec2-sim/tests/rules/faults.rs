//! Faults: capacity, throttling, failing requests, lost answers, guests.

use ec2_sim::{ErrorNext, Faults, Guest, Refusal};

use crate::{LAG_MS, PENDING_MS, RUN, STOPPING_MS, Sim};

#[test]
fn an_offering_without_capacity() {
    let mut sim = Sim::new();
    sim.ec2.set_faults(Faults { no_capacity: vec!["t3.medium/us-east-1a/spot".to_owned()], ..Faults::default() });
    let at = |zone: char, market: &str| format!("{RUN}&SubnetId=subnet-0000000000000000{zone}{market}");
    let spot = "&InstanceMarketOptions.MarketType=spot";
    assert_eq!(sim.refused(&at('a', spot)), (500, "InsufficientInstanceCapacity".to_owned()));
    for other in [at('a', ""), at('b', spot), at('a', spot).replace("t3.medium", "t2.medium")] {
        assert_eq!(sim.launch(&other).len(), 1, "{other}");
    }
}

#[test]
fn a_launch_that_names_no_zone_goes_where_capacity_is() {
    let mut sim = Sim::new();
    let zones = ["*/us-east-1a".to_owned(), "*/us-east-1c".to_owned()];
    sim.ec2.set_faults(Faults { no_capacity: zones.to_vec(), ..Faults::default() });
    for _ in 0..20 {
        let id = sim.launch(RUN).remove(0);
        assert_eq!(sim.instance(&id).zone, "us-east-1b");
    }
}

#[test]
fn a_start_needs_capacity_too() {
    let mut sim = Sim::new();
    let id = sim.running();
    sim.ok(&format!("Action=StopInstances&InstanceId.1={id}"));
    sim.wait(STOPPING_MS + LAG_MS);
    sim.ec2.set_faults(Faults { no_capacity: vec!["*".to_owned()], ..Faults::default() });
    assert_eq!(sim.code(&format!("Action=StartInstances&InstanceId.1={id}")), "InsufficientInstanceCapacity");
}

#[test]
fn an_offering_refused_with_a_code_of_its_own() {
    let mut sim = Sim::new();
    let refusal = Refusal { offering: "*/*/spot".to_owned(), code: "MaxSpotInstanceCountExceeded".to_owned() };
    sim.ec2.set_faults(Faults { refuse: vec![refusal], ..Faults::default() });
    let refused = sim.refused(&format!("{RUN}&InstanceMarketOptions.MarketType=spot"));
    assert_eq!(refused, (400, "MaxSpotInstanceCountExceeded".to_owned()));
    sim.launch(RUN);
}

#[test]
fn throttling_is_used_up() {
    let mut sim = Sim::new();
    sim.ec2.set_faults(Faults { throttle_next: 2, ..Faults::default() });
    for _ in 0..2 {
        assert_eq!(sim.refused(RUN), (503, "RequestLimitExceeded".to_owned()));
    }
    sim.launch(RUN);
    assert_eq!(sim.ec2.faults(), &Faults::default());
}

#[test]
fn failing_requests_are_used_up_by_action() {
    let mut sim = Sim::new();
    let next = |action: &str| ErrorNext {
        action: action.to_owned(),
        code: "InternalError".to_owned(),
        count: 1,
        after_effect: false,
    };
    sim.ec2.set_faults(Faults { error_next: vec![next("TerminateInstances"), next("*")], ..Faults::default() });
    assert_eq!(sim.refused(RUN), (500, "InternalError".to_owned()));
    assert_eq!(sim.ec2.instances().count(), 0);
    let id = sim.running();
    assert_eq!(sim.code(&format!("Action=TerminateInstances&InstanceId.1={id}")), "InternalError");
    sim.ok(&format!("Action=TerminateInstances&InstanceId.1={id}"));
}

#[test]
fn a_lost_answer_is_found_again_by_its_token() {
    let mut sim = Sim::new();
    let lost =
        ErrorNext { action: "RunInstances".to_owned(), code: "InternalError".to_owned(), count: 1, after_effect: true };
    sim.ec2.set_faults(Faults { error_next: vec![lost], ..Faults::default() });
    let form = format!("{RUN}&ClientToken=one");
    assert_eq!(sim.code(&form), "InternalError");
    let ids: Vec<_> = sim.ec2.instances().map(|instance| instance.id.clone()).collect();
    assert_eq!(sim.launch(&form), ids);
}

#[test]
fn guests_are_as_ordered_when_they_were_launched() {
    let mut sim = Sim::new();
    let early = sim.launch(RUN).remove(0);
    let dead = Guest { boots: false, heartbeats: false, boot_ms: Some(5), ..Guest::default() };
    sim.ec2.set_faults(Faults { guest: dead.clone(), ..Faults::default() });
    let late = sim.launch(RUN).remove(0);
    sim.wait(PENDING_MS);
    assert_eq!((&sim.instance(&early).guest, &sim.instance(&late).guest), (&Guest::default(), &dead));
    assert!(sim.ec2.set_guest(&early, dead.clone()) && !sim.ec2.set_guest("i-0", dead.clone()));
    assert_eq!(sim.instance(&early).guest, dead);
}

#[test]
fn faults_are_read_from_json_with_everything_off_by_default() {
    assert_eq!(serde_json::from_str::<Faults>("{}").expect("valid"), Faults::default());
    let read: Faults = serde_json::from_str(r#"{"guest": {"boots": false}, "partial_fleet": 1}"#).expect("valid");
    assert_eq!((read.guest.boots, read.guest.heartbeats, read.partial_fleet), (false, true, Some(1)));
    assert!(serde_json::from_str::<Faults>(r#"{"no_capcity": []}"#).is_err(), "a typing error is told");
}
