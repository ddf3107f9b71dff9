//! EC2 for the pool: launch, terminate, stop, start, list, describe.
//!
//! Rules:
//! - This is the only crate that knows EC2's SDK, and it decides nothing: what to launch or end comes from the plans of
//!   `pool_core`, and what EC2 answers goes back to them in the core's words.
//! - Every call may be repeated without harm. A launch carries its token and exact parameters, the other calls are
//!   idempotent by themselves.
//! - EC2's error codes get their meaning in `meanings` and nowhere else.

mod describe;
mod error;
mod launch;
mod meanings;
pub mod tags;

use std::collections::HashSet;

use aws_sdk_ec2::types::LaunchTemplate;
use pool_core::ids::InstanceId;
use pool_core::offering::Meaning;
use pool_core::policy::EndpointAddress;

/// A client of EC2; made here and nowhere else, so that its SDK stays in this crate.
pub use aws_sdk_ec2::Client;
pub use error::FleetError;
pub use launch::{Launched, LaunchedInstance, Outcome};

/// Ids in one `TerminateInstances`. EC2 takes 1,000 and recommends smaller batches:
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html>.
const TERMINATE_MAX: usize = 100;

/// The instances of one pool in EC2.
#[derive(Debug, Clone)]
pub struct Fleet {
    client: Client,
    pool: String,
    address: EndpointAddress,
}

impl Fleet {
    /// The fleet of a pool. `pool` is the value of the tag `ec2-pool:pool` on its instances; `address` says which
    /// address callers are given.
    pub fn new(client: Client, pool: impl Into<String>, address: EndpointAddress) -> Self {
        Self { client, pool: pool.into(), address }
    }

    /// The newest version of a launch template, as a number: `$Latest` may mean another version when a launch is
    /// repeated.
    ///
    /// # Errors
    /// EC2's refusal, such as a template that is not there; [`Meaning::Unclear`] when EC2's answer holds no version.
    pub async fn template_version(&self, template_id: &str) -> Result<u64, FleetError> {
        let answer = self.client.describe_launch_templates().launch_template_ids(template_id).send().await?;
        let of_this = |t: &&LaunchTemplate| t.launch_template_id() == Some(template_id);
        let newest = answer.launch_templates().iter().find(of_this).and_then(LaunchTemplate::latest_version_number);
        let newest = newest.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0);
        newest.ok_or_else(|| FleetError::unreadable(&format!("launch template {template_id} came without a version")))
    }

    /// Terminates instances and says of each what became of that, in the order given. Terminating one again is a success. Slots name their instance,
    /// which ends with all of them.
    ///
    /// All go in one call (one for each hundred). EC2 ends none of them if a single id is bad
    /// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html>), so after a refusal each
    /// is tried by itself.
    pub async fn terminate(&self, instances: &[InstanceId]) -> Vec<(InstanceId, Result<(), FleetError>)> {
        let mut named = HashSet::new();
        let machines = instances.iter().map(InstanceId::machine);
        let machines: Vec<InstanceId> = machines.filter(|machine| named.insert(machine.clone())).collect();
        let mut outcomes = Vec::with_capacity(machines.len());
        for batch in machines.chunks(TERMINATE_MAX) {
            let together = self.terminate_together(batch).await;
            if batch.len() > 1 && together.as_ref().is_err_and(may_be_about_one) {
                for instance in batch {
                    let alone = self.terminate_together(std::slice::from_ref(instance)).await;
                    outcomes.push((instance.clone(), alone));
                }
            } else {
                outcomes.extend(batch.iter().map(|instance| (instance.clone(), together.clone())));
            }
        }
        outcomes
    }

    async fn terminate_together(&self, instances: &[InstanceId]) -> Result<(), FleetError> {
        let ids = instances.iter().map(ToString::to_string).collect();
        self.client.terminate_instances().set_instance_ids(Some(ids)).send().await?;
        Ok(())
    }

    /// Asks EC2 to stop an instance. Success says that it is stopping or stopped already.
    ///
    /// # Errors
    /// [`Meaning::WrongState`] for one that cannot be stopped: it is pending, ends, or is one-time Spot.
    pub async fn stop(&self, instance: &InstanceId) -> Result<(), FleetError> {
        self.client.stop_instances().instance_ids(instance.machine().as_str()).send().await?;
        Ok(())
    }

    /// Asks EC2 to start a stopped instance. Success says that it starts or runs already.
    ///
    /// # Errors
    /// [`Meaning::WrongState`] while it is stopping or when it ends, [`Meaning::NoCapacity`] when EC2 has no place for
    /// it: a start needs capacity as a launch does.
    pub async fn start(&self, instance: &InstanceId) -> Result<(), FleetError> {
        self.client.start_instances().instance_ids(instance.machine().as_str()).send().await?;
        Ok(())
    }
}

/// Whether a failure of a batch can come from one of its instances. Throttling and lost answers do not, and a call for
/// each instance would only make them worse.
fn may_be_about_one(error: &FleetError) -> bool {
    !matches!(error.meaning, Meaning::Throttled | Meaning::Unclear)
}
