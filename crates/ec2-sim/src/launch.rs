//! Launching: what a launch is to be (template, request, overrides laid over each other), and making it so.
//! `RunInstances` is here, fleets are in `fleet`.
//!
//! Rule: everything is checked before anything starts, and a reservation starts whole or not at all.

use std::collections::VecDeque;

use data_encoding::BASE64;

use crate::{
    Ec2,
    config::Subnet,
    describe::reservation,
    error::ApiError,
    instance::{Instance, Launch, Market, State, StateReason, TemplateVersion},
    parameters::Parameters,
    tags::{Tags, specified},
    tokens::{Outcome, TokenKey, Tokens},
    xml::Element,
};

/// EC2's own default for a launch that names no type.
const DEFAULT_TYPE: &str = "m1.small";
/// AWS: "User data is limited to 16 KB, in raw form".
const USER_DATA_BYTES_MAX: usize = 16_384;
/// One request never launches more here; AWS's limit is a quota of the account.
const COUNT_MAX: u32 = 1_000;

/// What an instance is to be, all but its place.
#[derive(Debug, Clone)]
pub(crate) struct LaunchSpec {
    pub(crate) instance_type: String,
    pub(crate) market: Market,
    image_id: String,
    can_stop: bool,
    shutdown_terminates: bool,
    tags: Tags,
    template: Option<TemplateVersion>,
    details: Parameters,
}

impl LaunchSpec {
    /// Reads merged launch parameters. `tags` are those of the request and its template.
    pub(crate) fn read(
        details: Parameters,
        mut tags: Tags,
        template: Option<TemplateVersion>,
    ) -> Result<Self, ApiError> {
        let instance_type = details.get("InstanceType").unwrap_or(DEFAULT_TYPE).to_owned();
        check_type(&instance_type)?;
        check_user_data(details.get("UserData"))?;
        let image_id = image(details.required("ImageId")?)?;
        let market = match details.get("InstanceMarketOptions.MarketType") {
            None => Market::OnDemand,
            Some("spot") => Market::Spot,
            Some(other) => {
                return Err(ApiError::value(other, "InstanceMarketOptions.MarketType", "only spot is known here"));
            }
        };
        let persistent = details.get("InstanceMarketOptions.SpotOptions.SpotInstanceType") == Some("persistent");
        let shutdown_terminates = match details.get("InstanceInitiatedShutdownBehavior") {
            None | Some("stop") => false,
            Some("terminate") => true,
            Some(other) => {
                return Err(ApiError::value(
                    other,
                    "InstanceInitiatedShutdownBehavior",
                    "it must be stop or terminate",
                ));
            }
        };
        if let Some(template) = &template {
            tags.insert("aws:ec2launchtemplate:id".to_owned(), template.id.clone());
            tags.insert("aws:ec2launchtemplate:version".to_owned(), template.version.to_string());
        }
        let can_stop = market == Market::OnDemand || persistent;
        Ok(Self { instance_type, market, image_id, can_stop, shutdown_terminates, tags, template, details })
    }

    /// The same on another market. A fleet's Spot instances are one-time ones.
    pub(crate) fn on(&self, market: Market, fleet_id: &str) -> Self {
        let mut spec = self.clone();
        (spec.market, spec.can_stop) = (market, market == Market::OnDemand);
        spec.tags.insert("aws:ec2:fleet-id".to_owned(), fleet_id.to_owned());
        spec
    }
}

/// Who asked for a launch, under which token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    pub(crate) client_token: Option<String>,
    pub(crate) token_key: Option<TokenKey>,
}

/// Instances that started together.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) reservation_id: String,
    pub(crate) instance_ids: Vec<String>,
}

impl Ec2 {
    /// `RunInstances`.
    pub(crate) fn run_instances(&mut self, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        let (details, tags, template) = self.with_template(request, request.at("LaunchTemplate"))?;
        let zone = self.chosen_subnet(&details)?.map(|index| self.config.subnets[index].zone.clone());
        let key = Tokens::key("RunInstances", zone, request)?;
        if let Some(Outcome::Reservation { id, instance_ids }) = self.tokens.earlier(key.as_ref(), request)? {
            return self.repeated(id, instance_ids);
        }
        let (min, max) = counts(request)?;
        let spec = LaunchSpec::read(details, tags, template)?;
        let subnet = self.subnet_with_capacity(&spec)?;
        let room = self.private_addresses[subnet].available();
        if room < min {
            return Err(ApiError::new(
                "InsufficientFreeAddressesInSubnet",
                format!(
                    "There are {room} free addresses in subnet '{}', fewer than {min}.",
                    self.config.subnets[subnet].id
                ),
            ));
        }
        request.unless_dry_run()?;
        let origin = Origin { client_token: request.get("ClientToken").map(str::to_owned), token_key: key.clone() };
        let started = self.start(&spec, subnet, max.min(room), &origin);
        let answer = self.present(&started.reservation_id, &started.instance_ids);
        let outcome = Outcome::Reservation { id: started.reservation_id, instance_ids: started.instance_ids.clone() };
        self.record_token(key, request, outcome, started.instance_ids.len());
        Ok(answer)
    }

    /// The first request's reservation again, its instances in the state they are in now.
    fn repeated(&self, id: &str, instance_ids: &[String]) -> Result<Vec<Element>, ApiError> {
        if instance_ids.iter().all(|id| self.instances.get(id).is_none()) {
            return Err(ApiError::new(
                "IdempotentInstanceTerminated",
                "The request to launch an instance uses the same client token as a previous request for which the instance has been \
                 terminated.",
            ));
        }
        Ok(self.present(id, instance_ids))
    }

    fn present(&self, reservation_id: &str, instance_ids: &[String]) -> Vec<Element> {
        let instances: Vec<_> = instance_ids.iter().filter_map(|id| self.instances.get(id)).collect();
        let rows = instances.iter().map(|instance| (*instance, instance.truth()));
        reservation(&self.config, reservation_id, rows)
    }

    /// A request's launch parameters laid over its template's, both tags joined (the request's win), and the template's
    /// version.
    pub(crate) fn with_template(
        &self,
        request: &Parameters,
        specification: Option<&Parameters>,
    ) -> Result<(Parameters, Tags, Option<TemplateVersion>), ApiError> {
        let Some(specification) = specification else {
            return Ok((request.clone(), specified(request, "instance")?, None));
        };
        let (version, data) = self.templates.resolve(specification)?;
        let mut tags = specified(data, "instance")?;
        tags.extend(specified(request, "instance")?);
        Ok((request.over(data), tags, Some(version)))
    }

    /// The subnet that launch parameters name, by itself or by its zone, as an index into the configuration's.
    pub(crate) fn chosen_subnet(&self, details: &Parameters) -> Result<Option<usize>, ApiError> {
        let first_interface =
            details.list("NetworkInterface").into_iter().find_map(|interface| interface.get("SubnetId"));
        let index_of = |matches: &dyn Fn(&Subnet) -> bool| self.config.subnets.iter().position(matches);
        if let Some(id) = details.get("SubnetId").or(first_interface) {
            let found = index_of(&|subnet| subnet.id == id);
            return found.map(Some).ok_or_else(|| {
                ApiError::new("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist"))
            });
        }
        let Some(zone) = details.get("AvailabilityZone").or_else(|| details.get("Placement.AvailabilityZone")) else {
            return Ok(None);
        };
        let found = index_of(&|subnet| subnet.zone == zone);
        found.map(Some).ok_or_else(|| ApiError::value(zone, "AvailabilityZone", "there is no subnet in that zone"))
    }

    /// The named subnet, or else one that has capacity, the first of them at random; EC2's refusal if there is none.
    fn subnet_with_capacity(&mut self, spec: &LaunchSpec) -> Result<usize, ApiError> {
        let count = self.config.subnets.len();
        let (first, tries) = match self.chosen_subnet(&spec.details)? {
            Some(index) => (index, 1),
            None if count == 0 => return Err(ApiError::new("MissingInput", "There is no subnet to launch into.")),
            None => (self.random.below(count), count),
        };
        let mut refusal = None;
        for index in (first..first + tries).map(|index| index % count) {
            match self.faults.offers(&spec.instance_type, &self.config.subnets[index].zone, spec.market) {
                Ok(()) => return Ok(index),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.unwrap_or_else(|| ApiError::new("MissingInput", "There is no subnet to launch into.")))
    }

    /// Starts up to `count` instances in a subnet: as many as it has addresses for, which the caller has looked at
    /// before.
    pub(crate) fn start(&mut self, spec: &LaunchSpec, subnet: usize, count: u32, origin: &Origin) -> Started {
        let mut started = Started { reservation_id: self.random.id("r"), instance_ids: Vec::new() };
        for index in 0..usize::try_from(count).unwrap_or(usize::MAX) {
            let Some(private_ip) = self.private_addresses[subnet].take() else { break };
            let id = self.random.id("i");
            let spot_request_id = (spec.market == Market::Spot).then(|| self.random.id("sir"));
            let place = &self.config.subnets[subnet];
            self.instances.insert(Instance {
                id: id.clone(),
                state: State::Pending,
                state_reason: None,
                private_ip,
                public_ip: None,
                subnet_id: place.id.clone(),
                zone: place.zone.clone(),
                instance_type: spec.instance_type.clone(),
                market: spec.market,
                image_id: spec.image_id.clone(),
                launched_at_ms: self.now_ms,
                template: spec.template.clone(),
                tags: spec.tags.clone(),
                user_data: spec.details.get("UserData").map(str::to_owned),
                // The change to pending below is the first boot.
                boot_no: 0,
                guest: self.faults.guest.clone(),
                launch: Launch {
                    reservation_id: started.reservation_id.clone(),
                    index,
                    client_token: origin.client_token.clone(),
                    token_key: origin.token_key.clone(),
                    spot_request_id,
                    can_stop: spec.can_stop,
                    shutdown_terminates: spec.shutdown_terminates,
                    details: spec.details.clone(),
                },
                views: VecDeque::new(),
            });
            self.change(
                &id,
                State::Pending,
                Some(StateReason { code: "pending".to_owned(), message: "pending".to_owned() }),
            );
            started.instance_ids.push(id);
        }
        started
    }
}

fn counts(request: &Parameters) -> Result<(u32, u32), ApiError> {
    let of = |name: &str| request.number(name)?.ok_or_else(|| ApiError::missing(name));
    let (max, min) = (of("MaxCount")?, of("MinCount")?);
    if min == 0 || min > max || max > COUNT_MAX {
        let rule = format!("MinCount must be at least 1, and MaxCount at least MinCount and at most {COUNT_MAX}");
        return Err(ApiError::value(&format!("{min}, {max}"), "MinCount, MaxCount", &rule));
    }
    Ok((min, max))
}

/// Any type that could exist is taken: `family.size`.
fn check_type(name: &str) -> Result<(), ApiError> {
    let sound = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    match name.split_once('.') {
        Some((family, size)) if sound(family) && sound(size) => Ok(()),
        _ => Err(ApiError::new("InvalidParameterValue", format!("Invalid value '{name}' for InstanceType."))),
    }
}

fn check_user_data(encoded: Option<&str>) -> Result<(), ApiError> {
    let Some(encoded) = encoded else { return Ok(()) };
    let raw = BASE64
        .decode(encoded.as_bytes())
        .map_err(|_| ApiError::new("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data."))?;
    if raw.len() > USER_DATA_BYTES_MAX {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("User data is limited to {USER_DATA_BYTES_MAX} bytes"),
        ));
    }
    Ok(())
}

/// Every image exists here. One that is named by a Systems Manager parameter gets an id of its own from that name.
fn image(named: &str) -> Result<String, ApiError> {
    if named.starts_with("resolve:ssm:") {
        let digest = named.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
        return Ok(format!("ami-0{digest:016x}"));
    }
    let hex = named.strip_prefix("ami-").unwrap_or_default();
    if hex.is_empty() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ApiError::new(
            "InvalidAMIID.Malformed",
            format!("Invalid id: \"{named}\" (expecting \"ami-...\")"),
        ));
    }
    Ok(named.to_owned())
}
