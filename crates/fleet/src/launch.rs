//! Launching: one synchronous `CreateFleet` of type `instant`, whose answer says what started and what did not
//! (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instant-fleet.html>).
//!
//! Rule: the request is made of the intent and its token and nothing else, so that its repetition is the same request.
//! EC2 then answers with the first one's instances and launches nothing new
//! (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_ec2::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::BoxError;
use aws_sdk_ec2::operation::create_fleet::CreateFleetOutput;
use aws_sdk_ec2::operation::create_fleet::builders::CreateFleetFluentBuilder;
use aws_sdk_ec2::types::{
    CreateFleetError, CreateFleetInstance, DefaultTargetCapacityType, Filter, FleetLaunchTemplateConfigRequest,
    FleetLaunchTemplateOverrides, FleetLaunchTemplateOverridesRequest, FleetLaunchTemplateSpecificationRequest,
    FleetOnDemandAllocationStrategy, FleetType, InstanceLifecycle, InstanceType, OnDemandOptionsRequest, ResourceType,
    SpotAllocationStrategy, SpotOptionsRequest, TagSpecification, TargetCapacitySpecificationRequest,
};
use pool_core::ids::{InstanceId, LaunchToken, ShardNo};
use pool_core::offering::{LaunchFailure, Meaning};
use pool_core::reap_idle::{Ec2Instance, Ec2State};
use pool_core::shard::{Intent, Kind, Launch, Market};
use tracing::warn;

use crate::error::{FleetError, shortened};
use crate::tags::{self, tag};
use crate::{Fleet, meanings};

/// What a launch brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launched {
    /// What started, slot by slot: possibly fewer than wanted, and then `failures` tell why. All of them are to be adopted.
    pub instances: Vec<LaunchedInstance>,
    /// The offerings that were tried in vain, or the failure of the whole call.
    pub failures: Vec<LaunchFailure>,
    /// What is known by it.
    pub outcome: Outcome,
}

/// What is known of a launch after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// EC2 answered for the launch: this is all it has brought and ever will.
    Answered,
    /// EC2 refused this one call, so that it launched nothing. An earlier call under the same token may have.
    Refused,
    /// EC2 has carried the launch out before, and does not say what it brought; the instances' tag does.
    Spent,
    /// The call may have launched. Only its repetition under the same token tells.
    Unclear,
}

/// An instance that a launch started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchedInstance {
    /// Its id.
    pub instance: InstanceId,
    /// What it is; the zone is empty while EC2 does not tell.
    pub kind: Kind,
    /// The subnet, which with the type and the market names the offering that worked; empty when it is not known.
    pub subnet: String,
    /// The address callers are given; empty while EC2 does not tell.
    pub address: String,
}

/// Counts how often the SDK sends a request: it repeats one whose answer was lost by itself, and EC2 looks at permissions
/// and rates before it looks at the token, so that only the refusal of a request that was sent once says that nothing came.
#[derive(Debug, Clone, Default)]
struct Attempts(Arc<AtomicU32>);

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "CountAttempts"
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _runtime: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Fleet {
    /// Launches what the intent says, under its token. Repeating the same call launches nothing new and returns the
    /// same instances, whatever has become of them since.
    ///
    /// Addresses and zones are looked up once, since the fleet's answer need not have them; EC2 may not show its own
    /// instances yet, and then they stay empty.
    pub async fn launch(&self, shard: ShardNo, token: &LaunchToken, intent: &Intent) -> Launched {
        let attempts = Attempts::default();
        match self.request(shard, token, intent).customize().interceptor(attempts.clone()).send().await {
            Ok(answer) => {
                let mut instances = slots(&instances(&answer, &intent.launch), intent.launch.sessions);
                self.locate(&mut instances).await;
                let failures = answer.errors().iter().map(failure).collect();
                Launched { instances, failures, outcome: Outcome::Answered }
            }
            Err(error) => {
                let failure = FleetError::from(error).of_launch();
                let outcome = match failure.meaning {
                    Meaning::TokenSpent => Outcome::Spent,
                    Meaning::Unclear | Meaning::Throttled => Outcome::Unclear,
                    _ if attempts.0.load(Ordering::Relaxed) == 1 => Outcome::Refused,
                    _ => Outcome::Unclear,
                };
                Launched { instances: Vec::new(), failures: vec![failure], outcome }
            }
        }
    }

    /// The instances of a launch that EC2 has, by their tag; for a launch that EC2 does not repeat. It must be older than
    /// EC2's listings may be.
    ///
    /// # Errors
    /// EC2's.
    pub async fn launched_under(&self, token: &LaunchToken) -> Result<Vec<LaunchedInstance>, FleetError> {
        let filter = Filter::builder().name(format!("tag:{}", tags::LAUNCH)).values(token.as_str()).build();
        let alive = |found: &Ec2Instance| !matches!(found.state, Ec2State::ShuttingDown | Ec2State::Terminated);
        let found = self.seen(filter).await?.into_values().filter(alive);
        let launched = found.map(|found| {
            let Ec2Instance { instance, kind, address, .. } = found;
            LaunchedInstance { instance, kind, subnet: String::new(), address }
        });
        Ok(launched.collect())
    }

    fn request(&self, shard: ShardNo, token: &LaunchToken, intent: &Intent) -> CreateFleetFluentBuilder {
        let launch = &intent.launch;
        let capacity = TargetCapacitySpecificationRequest::builder()
            .total_target_capacity(i32::try_from(intent.count / launch.sessions.max(1)).unwrap_or(i32::MAX))
            .default_target_capacity_type(match launch.market {
                Market::Spot => DefaultTargetCapacityType::Spot,
                Market::OnDemand => DefaultTargetCapacityType::OnDemand,
            });
        let request = self
            .client
            .create_fleet()
            .r#type(FleetType::Instant)
            .client_token(token.as_str())
            .launch_template_configs(configuration(launch))
            .target_capacity_specification(capacity.build())
            .tag_specifications(self.tags(shard, token, launch.sessions));
        match launch.market {
            Market::Spot => {
                let strategy = SpotAllocationStrategy::PriceCapacityOptimized;
                request.spot_options(SpotOptionsRequest::builder().allocation_strategy(strategy).build())
            }
            Market::OnDemand => {
                let strategy = FleetOnDemandAllocationStrategy::LowestPrice;
                request.on_demand_options(OnDemandOptionsRequest::builder().allocation_strategy(strategy).build())
            }
        }
    }

    /// Only a fleet of type `instant` can tag its instances
    /// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html>).
    fn tags(&self, shard: ShardNo, token: &LaunchToken, sessions: u64) -> TagSpecification {
        TagSpecification::builder()
            .set_tags((sessions > 1).then(|| vec![tag(tags::SESSIONS, sessions.to_string())]))
            .resource_type(ResourceType::Instance)
            .tags(tag(tags::POOL, &self.pool))
            .tags(tag(tags::SHARD, shard.to_string()))
            .tags(tag(tags::LAUNCH, token.as_str()))
            .tags(tag("Name", format!("ec2-pool {}", self.pool)))
            .tags(tag("Service", "ec2-pool"))
            .build()
    }

    /// Fills in what the fleet's answer lacks. A launch has succeeded without it, so a failure is only noted.
    async fn locate(&self, instances: &mut [LaunchedInstance]) {
        let ids: Vec<InstanceId> = instances.iter().map(|launched| launched.instance.clone()).collect();
        let mut seen = match self.seen_of(&ids).await {
            Ok(seen) => seen,
            Err(error) => {
                warn!(%error, "the addresses of a launch could not be looked up; the next listing brings them");
                return;
            }
        };
        for launched in instances {
            if let Some(found) = seen.remove(&launched.instance) {
                launched.address = found.address;
                launched.kind.zone = found.kind.zone;
            }
        }
    }
}

/// Each instance as many times as it serves sessions, by the names of its slots.
fn slots(instances: &[LaunchedInstance], sessions: u64) -> Vec<LaunchedInstance> {
    let of = |launched: &LaunchedInstance| {
        let slots: Vec<_> = launched.instance.slots(sessions).collect();
        slots.into_iter().map(|instance| LaunchedInstance { instance, ..launched.clone() }).collect::<Vec<_>>()
    };
    instances.iter().flat_map(of).collect()
}

/// Every pair of type and subnet of the launch, of one version of one template.
fn configuration(launch: &Launch) -> FleetLaunchTemplateConfigRequest {
    let template = FleetLaunchTemplateSpecificationRequest::builder()
        .launch_template_id(&launch.template_id)
        .version(launch.template_version.to_string());
    let choices = launch.pairs().map(|(instance_type, subnet)| {
        let instance_type = InstanceType::from(instance_type.as_str());
        FleetLaunchTemplateOverridesRequest::builder().instance_type(instance_type).subnet_id(subnet).build()
    });
    FleetLaunchTemplateConfigRequest::builder()
        .launch_template_specification(template.build())
        .set_overrides(Some(choices.collect()))
        .build()
}

fn instances(answer: &CreateFleetOutput, launch: &Launch) -> Vec<LaunchedInstance> {
    answer.instances().iter().flat_map(|started| of_one_offering(started, launch)).collect()
}

/// The instances that one offering gave.
fn of_one_offering(started: &CreateFleetInstance, launch: &Launch) -> Vec<LaunchedInstance> {
    let chosen = started.launch_template_and_overrides().and_then(|both| both.overrides());
    let instance_type = started.instance_type().or(chosen.and_then(FleetLaunchTemplateOverrides::instance_type));
    let zone = started.availability_zone().or(chosen.and_then(FleetLaunchTemplateOverrides::availability_zone));
    let subnet = started.subnet_id().or(chosen.and_then(FleetLaunchTemplateOverrides::subnet_id));
    let market = match started.lifecycle() {
        Some(InstanceLifecycle::Spot) => Market::Spot,
        Some(InstanceLifecycle::OnDemand) => Market::OnDemand,
        _ => launch.market,
    };
    let kind = Kind {
        instance_type: instance_type.map(ToString::to_string).unwrap_or_default(),
        zone: zone.unwrap_or_default().to_owned(),
        market,
        template_version: launch.template_version,
    };
    let launched = |id: &String| match id.parse() {
        Ok(instance) => Some(LaunchedInstance {
            instance,
            kind: kind.clone(),
            subnet: subnet.unwrap_or_default().to_owned(),
            address: String::new(),
        }),
        Err(error) => {
            warn!(id, %error, "EC2 named a launched instance in an unknown way");
            None
        }
    };
    started.instance_ids().iter().filter_map(launched).collect()
}

fn failure(error: &CreateFleetError) -> LaunchFailure {
    let code = error.error_code().unwrap_or("NoCode");
    let tried = error.launch_template_and_overrides().and_then(|both| both.overrides());
    let offering = tried.and_then(|tried| Some((tried.instance_type()?.to_string(), tried.subnet_id()?.to_owned())));
    LaunchFailure {
        code: code.to_owned(),
        message: shortened(error.error_message().unwrap_or_default()),
        meaning: meanings::of_offering(code),
        offering,
    }
}
