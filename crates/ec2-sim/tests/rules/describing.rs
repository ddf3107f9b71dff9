//! Describe calls: lag, filters, paging, tags, status.

use crate::{LAG_MS, PENDING_MS, RUN, SHUTTING_DOWN_MS, Sim, all, one};

#[test]
fn a_new_instance_is_unknown_for_a_while_to_every_call() {
    let mut sim = Sim::new();
    let id = sim.launch(RUN).remove(0);
    sim.wait(LAG_MS - 1);
    for action in
        ["DescribeInstances", "DescribeInstanceStatus", "TerminateInstances", "StopInstances", "StartInstances"]
    {
        assert_eq!(sim.code(&format!("Action={action}&InstanceId.1={id}")), "InvalidInstanceID.NotFound", "{action}");
    }
    let tag = format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=k&Tag.1.Value=v");
    assert_eq!(sim.code(&tag), "InvalidInstanceID.NotFound");
    assert!(all(&sim.ok("Action=DescribeInstances"), "instanceId").is_empty());
    sim.wait(1);
    assert_eq!(sim.described(&id), "pending");
    sim.ok(&tag);
}

#[test]
fn states_are_seen_late() {
    let mut sim = Sim::new();
    let id = sim.launch(RUN).remove(0);
    sim.wait(PENDING_MS + LAG_MS - 1);
    assert_eq!(sim.described(&id), "pending");
    sim.wait(1);
    assert_eq!(sim.described(&id), "running");
    sim.ok(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    assert_eq!(sim.described(&id), "running");
    sim.wait(LAG_MS);
    assert_eq!(sim.described(&id), "shutting-down");
    sim.wait(SHUTTING_DOWN_MS);
    assert_eq!(sim.described(&id), "terminated");
}

#[test]
fn a_lag_longer_than_a_life_shows_each_state_in_turn() {
    let mut sim = Sim::with(|config| config.describe_lag_ms = 60_000);
    let id = sim.launch(RUN).remove(0);
    assert!(sim.wait(1_000).len() == 1 && sim.ec2.kill(sim.now_ms, &id));
    sim.wait(59_000);
    assert_eq!(sim.described(&id), "pending");
    sim.wait(1_000);
    assert_eq!(sim.described(&id), "terminated");
}

#[test]
fn a_terminated_instance_is_described_for_an_hour() {
    let mut sim = Sim::new();
    let id = sim.running();
    assert!(sim.ec2.kill(sim.now_ms, &id));
    sim.wait(3_599_999);
    assert_eq!(sim.described(&id), "terminated");
    let body = sim.ok(&format!("Action=DescribeInstances&InstanceId.1={id}"));
    assert!(!body.contains("<privateIpAddress>") && !body.contains("<ipAddress>"), "{body}");
    sim.wait(1);
    assert_eq!(sim.code(&format!("Action=DescribeInstances&InstanceId.1={id}")), "InvalidInstanceID.NotFound");
    assert_eq!(sim.ec2.instances().count(), 0);
}

#[test]
fn ids_that_cannot_be_and_ids_that_are_not() {
    let mut sim = Sim::new();
    for id in ["i-", "i-xyz", "x", "i-0123456789abcdef0123", "lt-0123456789abcdef0"] {
        let form = format!("Action=DescribeInstances&InstanceId.1={id}");
        assert_eq!(sim.refused(&form), (400, "InvalidInstanceID.Malformed".to_owned()), "{id}");
    }
    let form = "Action=DescribeInstances&InstanceId.1=i-0123456789abcdef0";
    assert_eq!(sim.refused(form), (400, "InvalidInstanceID.NotFound".to_owned()));
}

#[test]
fn filters() {
    let mut sim = Sim::new();
    let tagged = "&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=pool\
                  &TagSpecification.1.Tag.1.Value=blue-1";
    let on_demand = sim.launch(&format!("{RUN}{tagged}&ClientToken=t"));
    let spot = sim.running_spot();
    let mut found = |filters: &[(&str, &str)]| {
        let form = filters.iter().enumerate().fold(String::new(), |form, (n, (name, value))| {
            form + &format!("&Filter.{n}.Name={name}&Filter.{n}.Value.1={value}")
        });
        all(&sim.ok(&format!("Action=DescribeInstances{form}")), "instanceId")
    };
    let (on_demand, spot) = (on_demand, vec![spot]);
    for (name, value) in [("tag:pool", "blue-1"), ("tag:pool", "blue-*"), ("tag-key", "pool"), ("client-token", "t")] {
        assert_eq!(found(&[(name, value)]), on_demand, "{name}={value}");
    }
    assert_eq!(found(&[("instance-lifecycle", "spot")]), spot);
    assert_eq!(found(&[("instance-state-name", "running")]).len(), 2);
    assert_eq!(found(&[("instance-id", &spot[0])]), spot);
    for miss in ["blue", "Blue-1", "blue-??"] {
        assert!(found(&[("tag:pool", miss)]).is_empty(), "{miss}");
    }
    assert!(found(&[("tag-key", "pool"), ("instance-lifecycle", "spot")]).is_empty(), "filters are joined by and");
    let any = "Action=DescribeInstances&Filter.1.Name=tag:pool&Filter.1.Value.1=red&Filter.1.Value.2=blue-1";
    assert_eq!(all(&sim.ok(any), "instanceId"), on_demand, "values are joined by or");
    assert_eq!(sim.code("Action=DescribeInstances&Filter.1.Name=colour&Filter.1.Value.1=x"), "InvalidParameterValue");
}

#[test]
fn pages_are_complete_and_stable() {
    let mut sim = Sim::new();
    let many = RUN.replace("MinCount=1&MaxCount=1", "MinCount=13&MaxCount=13");
    let mut ids = sim.launch(&many);
    ids.extend(sim.launch(RUN));
    sim.wait(PENDING_MS + LAG_MS);
    let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let body = sim.ok(&format!("Action=DescribeInstances&MaxResults=5{token}"));
        seen.extend(all(&body, "instanceId"));
        pages += 1;
        // What comes between two pages neither hides nor doubles another instance.
        sim.launch(RUN);
        match all(&body, "nextToken").first() {
            Some(next) => token = format!("&NextToken={next}"),
            None => break,
        }
    }
    assert_eq!((seen, pages), (ids, 3));
}

#[test]
fn paging_parameters_that_cannot_be() {
    let mut sim = Sim::new();
    let id = sim.running();
    assert_eq!(sim.code("Action=DescribeInstances&MaxResults=4"), "InvalidParameterValue");
    assert_eq!(sim.code("Action=DescribeInstances&MaxResults=1001"), "InvalidParameterValue");
    assert_eq!(sim.code("Action=DescribeInstances&NextToken=%21"), "InvalidPaginationToken");
    let both = format!("Action=DescribeInstances&MaxResults=5&InstanceId.1={id}");
    assert_eq!(sim.code(&both), "InvalidParameterCombination");
}

#[test]
fn status_is_of_running_ones_unless_all_are_asked_for() {
    let mut sim = Sim::new();
    let running = sim.running();
    sim.launch(RUN);
    sim.wait(LAG_MS);
    assert_eq!(all(&sim.ok("Action=DescribeInstanceStatus"), "instanceId"), [running]);
    let body = sim.ok("Action=DescribeInstanceStatus&IncludeAllInstances=true");
    assert_eq!(all(&body, "name"), ["running", "pending"]);
    assert_eq!(all(&body, "status"), ["ok", "ok", "not-applicable", "not-applicable"]);
}

#[test]
fn an_instance_tells_where_and_what_it_is() {
    let mut sim = Sim::new();
    let id = sim.running_spot();
    let body = sim.ok(&format!("Action=DescribeInstances&InstanceId.1={id}"));
    let instance = sim.instance(&id);
    for (name, value) in [
        ("subnetId", instance.subnet_id.clone()),
        ("availabilityZone", instance.zone.clone()),
        ("instanceType", "t3.medium".to_owned()),
        ("instanceLifecycle", "spot".to_owned()),
        ("privateIpAddress", instance.private_ip.to_string()),
        ("ipAddress", instance.public_ip.expect("it runs").to_string()),
        ("imageId", "ami-0123456789abcdef0".to_owned()),
    ] {
        assert_eq!(one(&body, name), value);
    }
    assert_eq!(sim.instance(&id).public_ip.map(|ip| ip.octets()[..3].to_vec()), Some(vec![203, 0, 113]));
}

#[test]
fn tags_are_added_replaced_and_described() {
    let mut sim = Sim::new();
    let (id, template) = (sim.running(), sim.template());
    sim.ok(&format!("Action=CreateTags&ResourceId.1={id}&ResourceId.2={template}&Tag.1.Key=k&Tag.1.Value=%3Cv%3E"));
    sim.ok(&format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=k&Tag.1.Value=w"));
    let body = sim.ok("Action=DescribeTags&Filter.1.Name=key&Filter.1.Value.1=k");
    assert_eq!(all(&body, "resourceId"), [id.clone(), template]);
    assert_eq!(all(&body, "value"), ["w", "&lt;v&gt;"]);
    let reserved = format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=aws:x&Tag.1.Value=v");
    assert_eq!(sim.code(&reserved), "InvalidParameterValue");
    let many = (0..50).fold(String::new(), |form, n| form + &format!("&Tag.{n}.Key=k{n}"));
    assert_eq!(sim.code(&format!("Action=CreateTags&ResourceId.1={id}{many}")), "TagLimitExceeded");
    assert_eq!(sim.instance(&id).tags.len(), 1, "all tags or none");
}
