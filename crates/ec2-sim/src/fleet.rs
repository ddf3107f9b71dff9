//! `CreateFleet` of type `instant`: several offerings, two markets, one synchronous answer that says what started and
//! what did not.
//!
//! Rules (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instant-fleet.html>):
//! - The answer is HTTP 200 even if nothing started; each offering that was tried in vain is in `errorSet`.
//! - Offerings are tried in the order of their `Priority` if the strategy says so, else as given (there are no prices
//!   here, so the order given stands for the order of price); `diversified` deals the capacity out over all that have
//!   some.
//! - A market that cannot reach its `MinTargetCapacity` starts nothing at all. `SingleInstanceType` and
//!   `SingleAvailabilityZone`, one of which must come with it, are not acted on.

use std::collections::BTreeSet;

use crate::{
    Ec2,
    error::ApiError,
    faults::no_capacity,
    instance::Market,
    launch::{LaunchSpec, Origin},
    parameters::Parameters,
    tokens::{Outcome, Tokens},
    xml::Element,
};

/// Far beyond a pool; AWS's own limit is 10,000.
const CAPACITY_MAX: u32 = 1_000;

/// What a fleet did, enough to answer it again under its token.
#[derive(Debug, Clone)]
pub(crate) struct FleetAnswer {
    id: String,
    launched: Vec<(Shown, Vec<String>)>,
    errors: Vec<(Shown, ApiError)>,
}

/// An offering on a market, as the answer shows it.
#[derive(Debug, Clone)]
struct Shown {
    template_id: String,
    template_version: u32,
    overrides: Parameters,
    instance_type: String,
    market: Market,
}

/// A type in a subnet, one of those that a fleet may choose from.
#[derive(Debug)]
struct Offering {
    spec: LaunchSpec,
    subnet: usize,
    priority: f64,
    shown: Shown,
}

/// How much a fleet wants of one market, and how it chooses.
#[derive(Debug)]
struct Target {
    market: Market,
    count: u32,
    at_least: u32,
    strategy: String,
}

impl Ec2 {
    /// `CreateFleet`.
    pub(crate) fn create_fleet(&mut self, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        let key = Tokens::key("CreateFleet", None, request)?;
        if let Some(Outcome::Fleet(answer)) = self.tokens.earlier(key.as_ref(), request)? {
            return Ok(answer.elements());
        }
        match request.get("Type") {
            Some("instant") => {}
            other => {
                let kind = other.unwrap_or("maintain");
                return Err(ApiError::value(kind, "Type", "this simulated EC2 has fleets of type instant only"));
            }
        }
        let targets = targets(request)?;
        let offerings = self.offerings(request)?;
        request.unless_dry_run()?;
        let origin = Origin { client_token: request.get("ClientToken").map(str::to_owned), token_key: key.clone() };
        let mut answer =
            FleetAnswer { id: format!("fleet-{}", self.random.uuid()), launched: Vec::new(), errors: Vec::new() };
        let mut allowed = self.faults.partial_fleet.unwrap_or(u32::MAX);
        for target in &targets {
            allowed -= self.fill(target, &offerings, allowed, &origin, &mut answer);
        }
        let elements = answer.elements();
        let launched = answer.launched.iter().map(|(_, ids)| ids.len()).sum();
        self.record_token(key, request, Outcome::Fleet(answer), launched);
        Ok(elements)
    }

    /// Every override of every configuration, or the template itself where there are none.
    fn offerings(&mut self, request: &Parameters) -> Result<Vec<Offering>, ApiError> {
        let configurations = request.list("LaunchTemplateConfigs");
        if configurations.is_empty() {
            return Err(ApiError::missing("LaunchTemplateConfigs"));
        }
        // The zone of offerings that name none: EC2 chooses, once for the fleet.
        let anywhere = self.random.below(self.config.subnets.len());
        let (mut offerings, mut pools) = (Vec::new(), BTreeSet::new());
        for configuration in configurations {
            let specification = configuration
                .at("LaunchTemplateSpecification")
                .ok_or_else(|| ApiError::missing("LaunchTemplateConfigs.LaunchTemplateSpecification"))?;
            specification.required("Version")?;
            let none = Parameters::default();
            let overrides = configuration.list("Overrides");
            for choice in if overrides.is_empty() { vec![&none] } else { overrides } {
                let offering = self.offering(request, specification, choice, anywhere)?;
                if !pools
                    .insert((offering.spec.instance_type.clone(), self.config.subnets[offering.subnet].zone.clone()))
                {
                    return Err(ApiError::new(
                        "InvalidFleetConfig",
                        "The fleet configuration contains duplicate instance pools: name each instance type once a zone, and one subnet a zone.",
                    ));
                }
                offerings.push(offering);
            }
        }
        Ok(offerings)
    }

    fn offering(
        &self,
        request: &Parameters,
        specification: &Parameters,
        choice: &Parameters,
        anywhere: usize,
    ) -> Result<Offering, ApiError> {
        if let Some(field) =
            ["WeightedCapacity", "InstanceRequirements"].into_iter().find(|field| choice.at(field).is_some())
        {
            let rule = "this simulated EC2 counts instances and chooses among named types only";
            return Err(ApiError::value("set", &format!("Overrides.{field}"), rule));
        }
        // Of the request itself only the tags reach the instances.
        let (_, tags, _) = self.with_template(request, Some(specification))?;
        let (details, _, template) = self.with_template(choice, Some(specification))?;
        let subnet = self.chosen_subnet(&details)?.unwrap_or(anywhere);
        if subnet >= self.config.subnets.len() {
            return Err(ApiError::new("MissingInput", "There is no subnet to launch into."));
        }
        let priority = match choice.get("Priority") {
            None => f64::INFINITY,
            Some(text) => text
                .parse()
                .ok()
                .filter(|priority: &f64| *priority >= 0.0)
                .ok_or_else(|| ApiError::value(text, "Overrides.Priority", "it must be a number, zero or more"))?,
        };
        let (template_id, template_version) =
            template.as_ref().map(|template| (template.id.clone(), template.version)).unwrap_or_default();
        let spec = LaunchSpec::read(details, tags, template)?;
        let instance_type = spec.instance_type.clone();
        let shown =
            Shown { template_id, template_version, overrides: choice.clone(), instance_type, market: spec.market };
        Ok(Offering { spec, subnet, priority, shown })
    }

    /// Starts what a market is to have, at most `allowed`, and returns how many started.
    fn fill(
        &mut self,
        target: &Target,
        offerings: &[Offering],
        allowed: u32,
        origin: &Origin,
        answer: &mut FleetAnswer,
    ) -> u32 {
        if target.count == 0 {
            return 0;
        }
        let mut order: Vec<&Offering> = offerings.iter().collect();
        if target.strategy.ends_with("prioritized") {
            order.sort_by(|one, other| one.priority.total_cmp(&other.priority));
        }
        let plan = self.plan(target, &order, target.count.min(allowed));
        let planned: u32 = plan.iter().map(|(_, outcome)| *outcome.as_ref().unwrap_or(&0)).sum();
        let refused = planned < target.at_least;
        let (mut started, mut errors) = (0, Vec::new());
        for (offering, outcome) in plan {
            let shown = Shown { market: target.market, ..offering.shown.clone() };
            match outcome {
                Err(error) => errors.push((shown, error)),
                Ok(0) => {}
                Ok(_) if refused => errors.push((shown, self.out_of(offering))),
                Ok(count) => {
                    let spec = offering.spec.on(target.market, &answer.id);
                    let ids = self.start(&spec, offering.subnet, count, origin).instance_ids;
                    started += u32::try_from(ids.len()).unwrap_or(u32::MAX);
                    answer.launched.push((shown, ids));
                }
            }
        }
        if started < target.count && errors.is_empty() {
            // Only a fault or a full subnet gets here: the offerings were there, and not enough of them.
            errors.extend(
                order
                    .iter()
                    .map(|offering| (Shown { market: target.market, ..offering.shown.clone() }, self.out_of(offering))),
            );
        }
        answer.errors.append(&mut errors);
        started
    }

    /// How many instances of each offering, or why none. Offerings after the last one needed are not tried and not in
    /// the plan.
    fn plan<'a>(
        &self,
        target: &Target,
        order: &[&'a Offering],
        wanted: u32,
    ) -> Vec<(&'a Offering, Result<u32, ApiError>)> {
        let (mut plan, mut left) = (Vec::new(), wanted);
        let open = order.iter().filter(|offering| self.offers(offering, target.market).is_ok()).count();
        let mut open = u32::try_from(open).unwrap_or(u32::MAX);
        for offering in order {
            if left == 0 && wanted > 0 {
                break;
            }
            let outcome = self.offers(offering, target.market).map(|()| {
                let share = if target.strategy == "diversified" { left.div_ceil(open.max(1)) } else { left };
                open = open.saturating_sub(1);
                share.min(self.private_addresses[offering.subnet].available())
            });
            left -= outcome.as_ref().unwrap_or(&0);
            plan.push((*offering, outcome));
        }
        plan
    }

    fn offers(&self, offering: &Offering, market: Market) -> Result<(), ApiError> {
        self.faults.offers(&offering.spec.instance_type, &self.config.subnets[offering.subnet].zone, market)
    }

    fn out_of(&self, offering: &Offering) -> ApiError {
        no_capacity(&offering.spec.instance_type, &self.config.subnets[offering.subnet].zone)
    }
}

/// On demand first, as EC2 does it.
fn targets(request: &Parameters) -> Result<[Target; 2], ApiError> {
    let of = |name: &str| request.number(&format!("TargetCapacitySpecification.{name}"));
    let total = of("TotalTargetCapacity")?
        .ok_or_else(|| ApiError::missing("TargetCapacitySpecification.TotalTargetCapacity"))?;
    if total > CAPACITY_MAX {
        let rule = format!("a fleet here has at most {CAPACITY_MAX} instances");
        return Err(ApiError::value(&total.to_string(), "TotalTargetCapacity", &rule));
    }
    let (on_demand, spot) = (of("OnDemandTargetCapacity")?.unwrap_or(0), of("SpotTargetCapacity")?.unwrap_or(0));
    let rest = total.checked_sub(on_demand).and_then(|rest| rest.checked_sub(spot)).ok_or_else(|| {
        ApiError::value(
            &total.to_string(),
            "TotalTargetCapacity",
            "it must be at least the On-Demand and the Spot capacity together",
        )
    })?;
    let (on_demand, spot) = match request.get("TargetCapacitySpecification.DefaultTargetCapacityType") {
        None | Some("on-demand") => (on_demand + rest, spot),
        Some("spot") => (on_demand, spot + rest),
        Some(other) => {
            return Err(ApiError::value(other, "DefaultTargetCapacityType", "it must be spot or on-demand"));
        }
    };
    let target = |market: Market, count: u32, options: &str| {
        let strategy = request.get(&format!("{options}.AllocationStrategy")).unwrap_or("lowest-price").to_owned();
        let at_least = request.number(&format!("{options}.MinTargetCapacity"))?.unwrap_or(0);
        check_strategy(&strategy, market)?;
        let single =
            ["SingleInstanceType", "SingleAvailabilityZone"].map(|name| request.flag(&format!("{options}.{name}")));
        if at_least > 0 && single.iter().all(|flag| flag == &Ok(false)) {
            return Err(ApiError::new(
                "InvalidParameterCombination",
                format!("{options}.MinTargetCapacity needs SingleInstanceType or SingleAvailabilityZone beside it."),
            ));
        }
        Ok(Target { market, count, at_least, strategy })
    };
    Ok([target(Market::OnDemand, on_demand, "OnDemandOptions")?, target(Market::Spot, spot, "SpotOptions")?])
}

fn check_strategy(strategy: &str, market: Market) -> Result<(), ApiError> {
    let known: &[&str] = match market {
        Market::OnDemand => &["lowest-price", "lowestPrice", "prioritized"],
        Market::Spot => &[
            "capacity-optimized",
            "capacityOptimized",
            "capacity-optimized-prioritized",
            "capacityOptimizedPrioritized",
            "diversified",
            "lowest-price",
            "lowestPrice",
            "price-capacity-optimized",
            "priceCapacityOptimized",
        ],
    };
    if known.contains(&strategy) {
        return Ok(());
    }
    Err(ApiError::value(strategy, "AllocationStrategy", &format!("it must be one of {}", known.join(", "))))
}

impl FleetAnswer {
    fn elements(&self) -> Vec<Element> {
        let launched = self.launched.iter().map(|(shown, ids)| {
            let ids = ids.iter().map(|id| Element::text("item", id)).collect();
            shown
                .elements()
                .chain([Element::parent("instanceIds", ids), Element::text("instanceType", &shown.instance_type)])
                .collect()
        });
        let errors = self.errors.iter().map(|(shown, error)| {
            shown
                .elements()
                .chain([Element::text("errorCode", error.code()), Element::text("errorMessage", error.message())])
                .collect()
        });
        vec![
            Element::text("fleetId", &self.id),
            Element::list("errorSet", errors),
            Element::list("fleetInstanceSet", launched),
        ]
    }
}

impl Shown {
    fn elements(&self) -> impl Iterator<Item = Element> + use<> {
        let template = Element::parent(
            "launchTemplateSpecification",
            vec![Element::text("launchTemplateId", &self.template_id), Element::text("version", self.template_version)],
        );
        let overrides = Element::echo("Overrides", &self.overrides);
        [
            Element::parent("launchTemplateAndOverrides", vec![template, overrides]),
            Element::text("lifecycle", self.market.name()),
        ]
        .into_iter()
    }
}
