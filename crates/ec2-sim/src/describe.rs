//! `DescribeInstances`, `DescribeInstanceStatus`, `DescribeSubnets`: what callers may see, which is not always what is.
//!
//! Rule: only views pass through here. An instance that is too new, or terminated for an hour, is
//! `InvalidInstanceID.NotFound` to every call that names it
//! (<https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>).

use crate::{
    Ec2,
    config::Config,
    error::ApiError,
    filters::Filters,
    instance::{Instance, Market, State, View},
    lifecycle::state_element,
    paging::Page,
    parameters::Parameters,
    tags::{tag_facts, tag_set},
    xml::{Element, timestamp},
};

/// One VPC holds all subnets.
const VPC_ID: &str = "vpc-0ec25100000000000";

const INSTANCE_FILTERS: [&str; 15] = [
    "availability-zone",
    "client-token",
    "image-id",
    "instance-id",
    "instance-lifecycle",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "ip-address",
    "private-ip-address",
    "reservation-id",
    "subnet-id",
    "tag-key",
    "tag-value",
    "tag:",
];

impl Ec2 {
    /// What describe calls see of an instance now.
    pub(crate) fn view<'a>(&self, instance: &'a Instance) -> Option<&'a View> {
        instance.seen(self.now_ms, self.config.describe_lag_ms)
    }

    /// An instance that a caller names, if callers can see it yet and still.
    pub(crate) fn visible(&self, id: &str) -> Result<(&Instance, &View), ApiError> {
        let hex = id.strip_prefix("i-").unwrap_or_default();
        if ![8, 17].contains(&hex.len()) || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ApiError::new("InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\"")));
        }
        let seen = self.instances.get(id).and_then(|instance| Some((instance, self.view(instance)?)));
        seen.ok_or_else(|| {
            ApiError::new("InvalidInstanceID.NotFound", format!("The instance ID '{id}' does not exist"))
        })
    }

    /// The ids in `InstanceId.N`, at least one, all of them visible.
    pub(crate) fn named_instances(&self, request: &Parameters) -> Result<Vec<String>, ApiError> {
        let ids = request.values("InstanceId");
        if ids.is_empty() {
            return Err(ApiError::missing("InstanceId"));
        }
        ids.into_iter().map(|id| self.visible(id).map(|(instance, _)| instance.id.clone())).collect()
    }

    /// The instances that a describe call is about: those named (all must be visible) or all visible ones, through the
    /// filters, in order of launch and under keys for paging.
    fn listed<'a>(
        &'a self,
        request: &Parameters,
        filters: &'a Filters,
    ) -> Result<impl Iterator<Item = (String, (&'a Instance, &'a View))>, ApiError> {
        let named: Option<Vec<String>> =
            if request.list("InstanceId").is_empty() { None } else { Some(self.named_instances(request)?) };
        let wanted = move |instance: &Instance| named.as_ref().is_none_or(|ids| ids.contains(&instance.id));
        let seen =
            self.instances.numbered().filter_map(|(serial, instance)| Some((serial, instance, self.view(instance)?)));
        Ok(seen
            .filter(move |(_, instance, _)| wanted(instance))
            .filter(|(_, instance, view)| filters.pass(|name| facts(instance, view, name)))
            .map(|(serial, instance, view)| (format!("{serial:020}"), (instance, view))))
    }

    /// `DescribeInstances`. A page counts instances; a reservation that a page cuts goes on in the next one.
    pub(crate) fn describe_instances(&self, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        let filters = Filters::parse(request, &INSTANCE_FILTERS)?;
        let page = Page::parse(request, 5..=1_000, Some("InstanceId"))?;
        let listed = self.listed(request, &filters)?;
        request.unless_dry_run()?;
        let (rows, next) = page.cut(listed);
        let reservations =
            rows.chunk_by(|(one, _), (other, _)| one.launch.reservation_id == other.launch.reservation_id);
        let reservations = reservations.map(|rows| {
            let id = rows.first().map(|(instance, _)| instance.launch.reservation_id.as_str()).unwrap_or_default();
            reservation(&self.config, id, rows.iter().map(|(instance, view)| (*instance, (*view).clone())))
        });
        let set = Element::list("reservationSet", reservations);
        Ok([set].into_iter().chain(next.map(|token| Element::text("nextToken", token))).collect())
    }

    /// `DescribeInstanceStatus`: running instances, or all with `IncludeAllInstances`.
    pub(crate) fn describe_instance_status(&self, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        let filters = Filters::parse(request, &["availability-zone", "instance-state-code", "instance-state-name"])?;
        let page = Page::parse(request, 5..=1_000, Some("InstanceId"))?;
        let all = request.flag("IncludeAllInstances")?;
        let listed = self.listed(request, &filters)?.filter(|(_, (_, view))| all || view.state == State::Running);
        request.unless_dry_run()?;
        let (rows, next) = page.cut(listed);
        let set = Element::list("instanceStatusSet", rows.into_iter().map(|(instance, view)| status(instance, view)));
        Ok([set].into_iter().chain(next.map(|token| Element::text("nextToken", token))).collect())
    }

    /// `DescribeSubnets`.
    pub(crate) fn describe_subnets(&self, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        let filters = Filters::parse(request, &["availability-zone", "subnet-id", "vpc-id"])?;
        let page = Page::parse(request, 5..=1_000, Some("SubnetId"))?;
        let ids = request.values("SubnetId");
        if let Some(id) = ids.iter().find(|id| self.config.subnets.iter().all(|subnet| subnet.id != **id)) {
            return Err(ApiError::new("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist")));
        }
        request.unless_dry_run()?;
        let rows = self.config.subnets.iter().zip(&self.private_addresses).filter(|(subnet, _)| {
            let pass = filters.pass(|name| match name {
                "availability-zone" => vec![subnet.zone.clone()],
                "vpc-id" => vec![VPC_ID.to_owned()],
                _ => vec![subnet.id.clone()],
            });
            pass && (ids.is_empty() || ids.contains(&subnet.id.as_str()))
        });
        let rows = rows.enumerate().map(|(index, (subnet, addresses))| {
            let row = vec![
                Element::text("subnetId", &subnet.id),
                Element::text("state", "available"),
                Element::text("vpcId", VPC_ID),
                Element::text("ownerId", &self.config.account_id),
                Element::text("cidrBlock", addresses.cidr()),
                Element::text("availableIpAddressCount", addresses.available()),
                Element::text("availabilityZone", &subnet.zone),
                Element::text("defaultForAz", true),
                Element::text("mapPublicIpOnLaunch", true),
            ];
            (format!("{index:020}"), row)
        });
        let (rows, next) = page.cut(rows);
        Ok([Element::list("subnetSet", rows)]
            .into_iter()
            .chain(next.map(|token| Element::text("nextToken", token)))
            .collect())
    }
}

/// What filters may ask of an instance.
fn facts(instance: &Instance, view: &View, filter: &str) -> Vec<String> {
    let fact = match filter {
        "availability-zone" => &instance.zone,
        "image-id" => &instance.image_id,
        "instance-id" => &instance.id,
        "instance-type" => &instance.instance_type,
        "reservation-id" => &instance.launch.reservation_id,
        "subnet-id" => &instance.subnet_id,
        "client-token" => return instance.launch.client_token.iter().cloned().collect(),
        "instance-lifecycle" if instance.market == Market::Spot => return vec![Market::Spot.name().to_owned()],
        "instance-state-code" => return vec![view.state.code().to_string()],
        "instance-state-name" => return vec![view.state.name().to_owned()],
        "ip-address" => return view.public_ip.iter().map(ToString::to_string).collect(),
        "private-ip-address" if view.state != State::Terminated => return vec![instance.private_ip.to_string()],
        // On-demand instances have no lifecycle, terminated ones no address.
        "instance-lifecycle" | "private-ip-address" => return Vec::new(),
        _ => return tag_facts(&instance.tags, filter),
    };
    vec![fact.clone()]
}

/// A reservation with its instances, as `RunInstances` answers it and `DescribeInstances` lists it.
pub(crate) fn reservation<'a>(
    config: &Config,
    id: &str,
    instances: impl Iterator<Item = (&'a Instance, View)>,
) -> Vec<Element> {
    vec![
        Element::text("reservationId", id),
        Element::text("ownerId", &config.account_id),
        Element::list("groupSet", []),
        Element::list("instancesSet", instances.map(|(instance, view)| element(config, instance, &view))),
    ]
}

fn element(config: &Config, instance: &Instance, view: &View) -> Vec<Element> {
    let launch = &instance.launch;
    let placement = vec![
        Element::text("availabilityZone", &instance.zone),
        Element::text("groupName", ""),
        Element::text("tenancy", "default"),
    ];
    let mut all = vec![
        Element::text("instanceId", &instance.id),
        Element::text("imageId", &instance.image_id),
        state_element("instanceState", view.state),
        Element::text(
            "reason",
            view.state_reason.as_ref().filter(|_| view.state != State::Pending).map_or("", |reason| &reason.message),
        ),
        Element::text("amiLaunchIndex", launch.index),
        Element::list("productCodes", []),
        Element::text("instanceType", &instance.instance_type),
        Element::text("launchTime", timestamp(view.launched_at_ms)),
        Element::parent("placement", placement),
        Element::parent("monitoring", vec![Element::text("state", "disabled")]),
        Element::text("architecture", "x86_64"),
        Element::text("rootDeviceType", "ebs"),
        Element::text("rootDeviceName", "/dev/xvda"),
        Element::text("virtualizationType", "hvm"),
        Element::text("hypervisor", "xen"),
        Element::text("ebsOptimized", launch.details.get("EbsOptimized") == Some("true")),
        Element::list("blockDeviceMapping", []),
        Element::text("clientToken", launch.client_token.as_deref().unwrap_or_default()),
        tag_set(&instance.tags),
    ];
    all.extend(view.state_reason.as_ref().map(|reason| {
        Element::parent(
            "stateReason",
            vec![Element::text("code", &reason.code), Element::text("message", &reason.message)],
        )
    }));
    all.extend(launch.details.get("KeyName").map(|name| Element::text("keyName", name)));
    all.extend(launch.spot_request_id.as_ref().map(|id| Element::text("spotInstanceRequestId", id)));
    if instance.market == Market::Spot {
        all.push(Element::text("instanceLifecycle", Market::Spot.name()));
    }
    // A terminated instance has left its network.
    if view.state != State::Terminated {
        all.extend(network(config, instance, view));
    }
    all
}

fn network(config: &Config, instance: &Instance, view: &View) -> Vec<Element> {
    let groups =
        instance.launch.details.values("SecurityGroupId").into_iter().map(|id| vec![Element::text("groupId", id)]);
    let private_name = format!("ip-{}.ec2.internal", instance.private_ip.to_string().replace('.', "-"));
    let public_name = |ip: &std::net::Ipv4Addr| {
        format!("ec2-{}.{}.compute.amazonaws.com", ip.to_string().replace('.', "-"), config.region)
    };
    let profile = &instance.launch.details;
    let profile_arn = profile.get("IamInstanceProfile.Arn").map(str::to_owned).or_else(|| {
        let name = profile.get("IamInstanceProfile.Name")?;
        Some(format!("arn:aws:iam::{}:instance-profile/{name}", config.account_id))
    });
    let mut all = vec![
        Element::text("subnetId", &instance.subnet_id),
        Element::text("vpcId", VPC_ID),
        Element::text("privateIpAddress", instance.private_ip),
        Element::text("privateDnsName", private_name),
        Element::text("dnsName", view.public_ip.as_ref().map(public_name).unwrap_or_default()),
        Element::text("sourceDestCheck", true),
        Element::list("groupSet", groups),
    ];
    all.extend(view.public_ip.map(|ip| Element::text("ipAddress", ip)));
    all.extend(profile_arn.map(|arn| Element::parent("iamInstanceProfile", vec![Element::text("arn", arn)])));
    all
}

fn status(instance: &Instance, view: &View) -> Vec<Element> {
    let word = if view.state == State::Running { "ok" } else { "not-applicable" };
    let summary = |name: &str| Element::parent(name, vec![Element::text("status", word)]);
    vec![
        Element::text("instanceId", &instance.id),
        Element::text("availabilityZone", &instance.zone),
        state_element("instanceState", view.state),
        summary("systemStatus"),
        summary("instanceStatus"),
    ]
}
