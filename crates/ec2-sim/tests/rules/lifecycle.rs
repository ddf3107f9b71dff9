//! States, what moves them, and what refuses to.

use ec2_sim::{Config, State};

use crate::{LAG_MS, PENDING_MS, RUN, SHUTTING_DOWN_MS, STOPPING_MS, Sim, all, one};

#[test]
fn from_launch_to_the_end() {
    let mut sim = Sim::new();
    let id = sim.launch(RUN).remove(0);
    sim.wait(PENDING_MS - 1);
    assert_eq!(sim.state(&id), State::Pending);
    sim.wait(1);
    assert_eq!(sim.state(&id), State::Running);
    let body = sim.ok(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    assert_eq!(all(&body, "name"), ["shutting-down", "running"], "current, then previous");
    sim.wait(SHUTTING_DOWN_MS - 1);
    assert_eq!(sim.state(&id), State::ShuttingDown);
    sim.wait(1);
    assert_eq!(sim.state(&id), State::Terminated);
}

#[test]
fn stopped_and_started_again() {
    let mut sim = Sim::new();
    let id = sim.running();
    let (boot_no, private_ip) = (sim.instance(&id).boot_no, sim.instance(&id).private_ip);
    sim.ok(&format!("Action=StopInstances&InstanceId.1={id}"));
    assert_eq!(
        sim.code(&format!("Action=StartInstances&InstanceId.1={id}")),
        "IncorrectInstanceState",
        "still stopping"
    );
    sim.wait(STOPPING_MS);
    assert_eq!((sim.state(&id), sim.instance(&id).public_ip), (State::Stopped, None));
    let body = sim.ok(&format!("Action=StartInstances&InstanceId.1={id}"));
    assert_eq!(all(&body, "name"), ["pending", "stopped"]);
    sim.wait(PENDING_MS);
    let instance = sim.instance(&id);
    assert_eq!((boot_no, instance.boot_no, instance.state), (1, 2, State::Running));
    assert_eq!(instance.private_ip, private_ip, "a stopped instance keeps its private address");
    assert!(instance.public_ip.is_some());
}

#[test]
fn repeats_are_no_errors_and_change_nothing() {
    let mut sim = Sim::new();
    let id = sim.running();
    sim.ok(&format!("Action=StartInstances&InstanceId.1={id}"));
    assert_eq!((sim.state(&id), sim.instance(&id).boot_no), (State::Running, 1));
    sim.ok(&format!("Action=StopInstances&InstanceId.1={id}"));
    sim.wait(STOPPING_MS);
    sim.ok(&format!("Action=StopInstances&InstanceId.1={id}"));
    assert_eq!(sim.state(&id), State::Stopped);
    sim.ok(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    sim.wait(SHUTTING_DOWN_MS);
    let body = sim.ok(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    assert_eq!(all(&body, "name"), ["terminated", "terminated"]);
}

#[test]
fn terminated_is_final() {
    let mut sim = Sim::new();
    let id = sim.running();
    sim.ok(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    for when in ["shutting-down", "terminated"] {
        for action in ["StopInstances", "StartInstances"] {
            assert_eq!(sim.code(&format!("Action={action}&InstanceId.1={id}")), "IncorrectInstanceState", "{when}");
        }
        sim.wait(SHUTTING_DOWN_MS);
    }
    assert!(!sim.ec2.kill(sim.now_ms, &id));
}

#[test]
fn a_pending_instance_terminates_and_never_runs() {
    let mut sim = Sim::new();
    let id = sim.launch(RUN).remove(0);
    sim.wait(LAG_MS);
    assert_eq!(sim.code(&format!("Action=StopInstances&InstanceId.1={id}")), "IncorrectInstanceState");
    sim.ok(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    let states: Vec<_> =
        sim.wait(60_000).iter().map(|event| event["detail"]["state"].as_str().map(str::to_owned)).collect();
    assert!(!states.contains(&Some("running".to_owned())), "{states:?}");
    assert_eq!(sim.state(&id), State::Terminated);
}

#[test]
fn one_time_spot_cannot_stop_and_persistent_spot_can() {
    let mut sim = Sim::new();
    let one_time = sim.running_spot();
    assert_eq!(sim.code(&format!("Action=StopInstances&InstanceId.1={one_time}")), "UnsupportedOperation");
    let persistent = sim
        .launch(&format!(
            "{RUN}&InstanceMarketOptions.MarketType=spot&InstanceMarketOptions.SpotOptions.SpotInstanceType=persistent"
        ))
        .remove(0);
    sim.wait(PENDING_MS);
    sim.ok(&format!("Action=StopInstances&InstanceId.1={persistent}"));
    assert_eq!(sim.state(&persistent), State::Stopping);
}

#[test]
fn one_bad_id_and_nothing_happens() {
    let mut sim = Sim::new();
    let id = sim.running();
    let form = format!("Action=TerminateInstances&InstanceId.1={id}&InstanceId.2=i-0000000000000dead");
    assert_eq!(sim.code(&form), "InvalidInstanceID.NotFound");
    assert_eq!(sim.state(&id), State::Running);
}

#[test]
fn a_guest_shuts_its_machine_down_as_its_launch_says() {
    let mut sim = Sim::new();
    let stops = sim.running();
    let ends = sim.launch(&format!("{RUN}&InstanceInitiatedShutdownBehavior=terminate")).remove(0);
    let spot = sim.running_spot();
    for (id, state) in [(stops, State::Stopping), (ends, State::ShuttingDown), (spot, State::ShuttingDown)] {
        assert!(sim.ec2.shut_down_from_inside(sim.now_ms, &id));
        assert_eq!(sim.state(&id), state);
        let reason = sim.instance(&id).state_reason.clone().expect("it has a reason");
        assert_eq!(reason.code, "Client.InstanceInitiatedShutdown");
        assert!(!sim.ec2.shut_down_from_inside(sim.now_ms, &id), "it does not run any more");
    }
}

#[test]
fn addresses_are_unique_and_come_back() {
    let network = |config: &mut Config| {
        config.address_network = (127, 77);
        config.subnets.truncate(1);
    };
    let mut sim = Sim::with(network);
    let launch = RUN.replace("MaxCount=1", "MaxCount=300").replace("MinCount=1", "MinCount=300");
    let ids = sim.launch(&launch);
    let mut private: Vec<_> = sim.ec2.instances().map(|instance| instance.private_ip).collect();
    let mut public: Vec<_> = sim.ec2.instances().filter_map(|instance| instance.public_ip).collect();
    assert!(private.iter().all(|ip| ip.octets().starts_with(&[127, 77])));
    private.sort_unstable();
    private.dedup();
    public.sort_unstable();
    public.dedup();
    assert_eq!((private.len(), public.len()), (300, 300));

    let free = |sim: &mut Sim| one(&sim.ok("Action=DescribeSubnets"), "availableIpAddressCount");
    let before = free(&mut sim);
    assert!(sim.ec2.kill(sim.now_ms, &ids[0]));
    assert_ne!(free(&mut sim), before);
}

#[test]
fn a_subnet_can_run_out_of_addresses() {
    // 256 subnets: each has the smallest block there is.
    let subnet = |n: usize| ec2_sim::Subnet { id: format!("subnet-{n:x}"), zone: format!("zone-{n}") };
    let mut sim = Sim::with(|config| config.subnets = (0..300).map(subnet).collect());
    let launch = |min: u32| {
        RUN.replace("MaxCount=1", "MaxCount=1000").replace("MinCount=1", &format!("MinCount={min}"))
            + "&SubnetId=subnet-1"
    };
    assert_eq!(sim.code(&launch(252)), "InsufficientFreeAddressesInSubnet");
    assert_eq!(sim.launch(&launch(251)).len(), 251);
    assert_eq!(sim.code(&launch(1)), "InsufficientFreeAddressesInSubnet");
    assert_eq!(sim.code(&format!("{RUN}&SubnetId=subnet-12b")), "InvalidSubnetID.NotFound", "the 300th is left out");
}

#[test]
fn the_same_seed_gives_the_same_ec2() {
    let play = |seed: u64| {
        let mut sim = Sim::with(|config| config.seed = seed);
        let mut log = vec![sim.ok(RUN), sim.ok(&format!("{RUN}&InstanceMarketOptions.MarketType=spot"))];
        log.extend(sim.wait(PENDING_MS).iter().map(ToString::to_string));
        log
    };
    assert_eq!(play(1), play(1));
    assert_ne!(play(1), play(2));
}

#[test]
fn time_never_goes_back() {
    let mut sim = Sim::new();
    let id = sim.running();
    let (now_ms, state) = (sim.now_ms, sim.state(&id));
    assert!(sim.ec2.advance(0).is_empty());
    let body = sim.ec2.call(0, &format!("Action=DescribeInstances&InstanceId.1={id}")).body;
    assert_eq!(one(&body, "instanceId"), id, "a caller with an early clock sees the present");
    assert_eq!((now_ms, sim.state(&id)), (sim.now_ms, state));
}
