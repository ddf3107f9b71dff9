//! What EC2 says of instances, as the core reads it.
//!
//! Rule: silence is no word. An instance that a list leaves out may exist (a lagging answer, a changed tag), so it is
//! asked for by its id, and only `InvalidInstanceID.NotFound` says that EC2 does not know it
//! (<https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_ec2::types::{Filter, Instance, InstanceLifecycleType, InstanceStateName, Placement, Reservation};
use pool_core::ids::{InstanceId, LaunchToken};
use pool_core::offering::Meaning;
use pool_core::policy::EndpointAddress;
use pool_core::reap_idle::{Ec2Instance, Ec2State};
use pool_core::shard::{Kind, Market};
use pool_core::time::Timestamp;
use tracing::warn;

use crate::error::FleetError;
use crate::{Fleet, tags};

/// The largest page of `DescribeInstances`.
const PAGE_MAX: i32 = 1_000;

/// Values in one filter: EC2 answers more than 200 with `FilterLimitExceeded`.
const FILTER_VALUES_MAX: usize = 200;

type Seen = BTreeMap<InstanceId, Ec2Instance>;

impl Fleet {
    /// All instances with the pool's tag, of every page and in every state; terminated ones stay for about an hour. Where they serve
    /// several sessions, each of their slots.
    ///
    /// # Errors
    /// EC2's; a list without some of its pages is never returned.
    pub async fn list(&self) -> Result<HashMap<InstanceId, Ec2Instance>, FleetError> {
        let tag = Filter::builder().name(format!("tag:{}", tags::POOL)).values(&self.pool).build();
        Ok(self.seen(tag).await?.into_iter().collect())
    }

    /// EC2's explicit word on each of these instances: `None` when it was asked for this id and does not know it.
    ///
    /// One call for each two hundred finds those that EC2 has, by a filter, since a call that names a single unknown id
    /// is refused whole. Those that the filter leaves out are asked for one by one; where that fails, or where the
    /// answer says neither one nor the other, the instance is left out of the result: there is no word on it.
    ///
    /// # Errors
    /// EC2's, when the first question fails.
    pub async fn describe(
        &self,
        instances: &[InstanceId],
    ) -> Result<BTreeMap<InstanceId, Option<Ec2Instance>>, FleetError> {
        let seen = self.seen_of(instances).await?;
        let mut words = BTreeMap::new();
        for instance in instances {
            // A terminated instance may have lost the tag that says how many slots it has.
            let of_machine = |found: &Ec2Instance| Ec2Instance { instance: instance.clone(), ..found.clone() };
            let found = seen.get(instance).cloned().or_else(|| seen.get(&instance.machine()).map(of_machine));
            if let Some(found) = found {
                words.insert(instance.clone(), Some(found));
                continue;
            }
            match self.ask(instance).await {
                Ok(Some(word)) => {
                    words.insert(instance.clone(), word);
                }
                Ok(None) => warn!(%instance, "EC2 neither described nor denied an instance"),
                Err(error) => warn!(%instance, %error, "EC2 could not be asked about an instance"),
            }
        }
        Ok(words)
    }

    /// Those of these instances that EC2 shows at present.
    pub(crate) async fn seen_of(&self, instances: &[InstanceId]) -> Result<Seen, FleetError> {
        let mut seen = Seen::new();
        let machines: BTreeSet<String> = instances.iter().map(|instance| instance.machine().to_string()).collect();
        let machines: Vec<String> = machines.into_iter().collect();
        for batch in machines.chunks(FILTER_VALUES_MAX) {
            let ids = batch.to_vec();
            seen.extend(self.seen(Filter::builder().name("instance-id").set_values(Some(ids)).build()).await?);
        }
        Ok(seen)
    }

    pub(crate) async fn seen(&self, filter: Filter) -> Result<Seen, FleetError> {
        let mut pages = self.client.describe_instances().filters(filter).into_paginator().page_size(PAGE_MAX).send();
        let mut seen = Seen::new();
        while let Some(page) = pages.next().await.transpose()? {
            let instances = page.reservations().iter().flat_map(Reservation::instances);
            seen.extend(
                instances.flat_map(|instance| self.read(instance)).map(|found| (found.instance.clone(), found)),
            );
        }
        Ok(seen)
    }

    /// The word on one id: `Some(None)` is EC2's denial, `None` is no word.
    async fn ask(&self, instance: &InstanceId) -> Result<Option<Option<Ec2Instance>>, FleetError> {
        let machine = instance.machine();
        let answer = match self.client.describe_instances().instance_ids(machine.as_str()).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let error = FleetError::from(error);
                return if error.meaning == Meaning::Unknown { Ok(Some(None)) } else { Err(error) };
            }
        };
        let mut described = answer.reservations().iter().flat_map(Reservation::instances);
        let this = described.find(|described| described.instance_id() == Some(machine.as_str()));
        let found = this.and_then(|described| self.read(described).into_iter().next());
        Ok(found.map(|found| Some(Ec2Instance { instance: instance.clone(), ..found })))
    }

    /// The slots of an instance in the core's words; none, and a warning, if EC2 left out what they cannot do without.
    fn read(&self, described: &Instance) -> Vec<Ec2Instance> {
        let Some(read) = self.read_complete(described) else {
            let (instance, state) = (described.instance_id(), described.state());
            warn!(?instance, ?state, "EC2 described an instance without a usable id, state or launch time");
            return Vec::new();
        };
        let sessions = tags::value(described.tags(), tags::SESSIONS).and_then(|text| text.parse().ok()).unwrap_or(1);
        let slots = read.instance.slots(u64::min(sessions, InstanceId::SLOTS_MAX));
        slots.map(|instance| Ec2Instance { instance, ..read.clone() }).collect()
    }

    fn read_complete(&self, described: &Instance) -> Option<Ec2Instance> {
        let instance = described.instance_id()?.parse().ok()?;
        let state = state(described.state()?.name()?)?;
        let launched_at = Timestamp(u64::try_from(described.launch_time()?.secs()).ok()?);
        let tagged = |key| tags::value(described.tags(), key);
        let address = match self.address {
            EndpointAddress::Private => described.private_ip_address(),
            EndpointAddress::Public => described.public_ip_address(),
        };
        let market = match described.instance_lifecycle() {
            Some(InstanceLifecycleType::Spot) => Market::Spot,
            _ => Market::OnDemand,
        };
        let kind = Kind {
            instance_type: described.instance_type().map(ToString::to_string).unwrap_or_default(),
            zone: described.placement().and_then(Placement::availability_zone).unwrap_or_default().to_owned(),
            market,
            template_version: tagged(tags::TEMPLATE_VERSION).and_then(|text| text.parse().ok()).unwrap_or(0),
        };
        Some(Ec2Instance {
            instance,
            state,
            launched_at,
            kind,
            address: address.unwrap_or_default().to_owned(),
            shard: tagged(tags::SHARD).and_then(|text| text.parse().ok()),
            launch: tagged(tags::LAUNCH).map(LaunchToken::trusted),
        })
    }
}

fn state(name: &InstanceStateName) -> Option<Ec2State> {
    match name {
        InstanceStateName::Pending => Some(Ec2State::Pending),
        InstanceStateName::Running => Some(Ec2State::Running),
        InstanceStateName::Stopping => Some(Ec2State::Stopping),
        InstanceStateName::Stopped => Some(Ec2State::Stopped),
        InstanceStateName::ShuttingDown => Some(Ec2State::ShuttingDown),
        InstanceStateName::Terminated => Some(Ec2State::Terminated),
        _ => None,
    }
}
