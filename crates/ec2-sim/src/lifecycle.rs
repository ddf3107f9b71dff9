//! The life of an instance: what moves it from state to state, and when.
//!
//! ```text
//! pending -> running -> shutting-down -> terminated -> (an hour later) forgotten
//!               |  ^
//!               v  +--- pending <--- stopped        any state but the last two may go to shutting-down,
//!            stopping ---------------->  ^          and `kill` takes an instance straight to terminated
//! ```
//!
//! Rule: `change` is the only place where a state changes. It tells the event, keeps the view for lagging calls, gives
//! addresses back and plans what follows.

use std::collections::BTreeMap;

use crate::{
    Ec2,
    addresses::AddressPool,
    error::ApiError,
    events::Happening,
    instance::{Instance, Market, State, StateReason},
    parameters::Parameters,
    tokens::TokenKey,
    xml::Element,
};

/// How long EC2 goes on describing a terminated instance, by
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/terminating-instances.html> ("usually within an hour").
const FORGET_TERMINATED_MS: u64 = 3_600_000;

/// What is to happen at a moment.
#[derive(Debug, Clone)]
pub(crate) enum Due {
    /// The state after a passing one, if the instance is still in that passing state.
    Settle { id: String, from: State, to: State },
    /// The end that a Spot warning announced.
    SpotEnd { id: String },
    /// A terminated instance leaves the describe calls.
    Forget { id: String },
    /// A client token may be used for something else.
    ForgetToken(TokenKey),
}

/// What is to happen, in order of time and, within a moment, in the order in which it was planned.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    entries: BTreeMap<(u64, u64), Due>,
    planned: u64,
}

impl Schedule {
    pub(crate) fn plan(&mut self, at_ms: u64, due: Due) {
        self.entries.insert((at_ms, self.planned), due);
        self.planned += 1;
    }

    fn pop_until(&mut self, now_ms: u64) -> Option<(u64, Due)> {
        let entry = self.entries.first_entry().filter(|entry| entry.key().0 <= now_ms)?;
        let at_ms = entry.key().0;
        Some((at_ms, entry.remove()))
    }

    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.entries.first_key_value().map(|((at_ms, _), _)| *at_ms)
    }
}

impl Ec2 {
    /// Lets everything happen that falls due until `now_ms`. Time never goes back here, whatever a caller's clock does.
    pub(crate) fn settle(&mut self, now_ms: u64) {
        while let Some((at_ms, due)) = self.schedule.pop_until(now_ms) {
            self.now_ms = self.now_ms.max(at_ms);
            match due {
                Due::Settle { id, from, to } => {
                    if let Some(instance) = self.instances.get(&id).filter(|instance| instance.state == from) {
                        let reason = instance.state_reason.clone().filter(|_| to != State::Running);
                        self.change(&id, to, reason);
                    }
                }
                Due::SpotEnd { id } => {
                    if self.instances.get(&id).is_some_and(|instance| !instance.state.is_ending()) {
                        self.change(&id, State::ShuttingDown, Some(spot_termination()));
                    }
                }
                Due::Forget { id } => self.instances.remove(&id),
                Due::ForgetToken(key) => self.tokens.forget(&key, self.now_ms),
            }
        }
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// Puts an instance into a state, now, with all that comes with it. The instance exists.
    pub(crate) fn change(&mut self, id: &str, to: State, reason: Option<StateReason>) {
        let (now_ms, lag_ms) = (self.now_ms, self.config.describe_lag_ms);
        let Some(instance) = self.instances.get_mut(id) else { return };
        instance.state = to;
        instance.state_reason = reason;
        match to {
            State::Pending => {
                instance.boot_no += 1;
                instance.launched_at_ms = now_ms;
                instance.public_ip = self.public_addresses.iter_mut().find_map(AddressPool::take);
            }
            State::Running => {}
            State::ShuttingDown | State::Stopping | State::Stopped | State::Terminated => {
                if let Some(address) = instance.public_ip.take() {
                    self.public_addresses.iter_mut().for_each(|pool| pool.free(address));
                }
            }
        }
        instance.remember(now_ms, lag_ms);
        let (zone, private_ip, token_key) =
            (instance.zone.clone(), instance.private_ip, instance.launch.token_key.clone());
        self.tell(now_ms, id, &zone, Happening::Changed(to));
        self.plan_next(id, to);
        if to == State::Terminated {
            self.private_addresses.iter_mut().for_each(|pool| pool.free(private_ip));
            if let Some((key, forget_at_ms)) = token_key.and_then(|key| self.tokens.instance_ended(key, now_ms)) {
                self.schedule.plan(forget_at_ms, Due::ForgetToken(key));
            }
        }
    }

    fn plan_next(&mut self, id: &str, state: State) {
        let (delay_ms, next) = match state {
            State::Pending => (self.config.pending_ms, State::Running),
            State::ShuttingDown => (self.config.shutting_down_ms, State::Terminated),
            State::Stopping => (self.config.stopping_ms, State::Stopped),
            State::Terminated => {
                let at_ms = self.now_ms.saturating_add(FORGET_TERMINATED_MS);
                return self.schedule.plan(at_ms, Due::Forget { id: id.to_owned() });
            }
            State::Running | State::Stopped => return,
        };
        let due = Due::Settle { id: id.to_owned(), from: state, to: next };
        self.schedule.plan(self.now_ms.saturating_add(delay_ms), due);
    }

    /// `TerminateInstances`. All the ids are good or nothing ends; a repeat changes nothing and is no error.
    pub(crate) fn terminate_instances(&mut self, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        let ids = self.named_instances(request)?;
        request.unless_dry_run()?;
        Ok(self.move_all(&ids, |state| (!state.is_ending()).then_some(State::ShuttingDown), Some(&user_shutdown())))
    }

    /// `StopInstances`.
    pub(crate) fn stop_instances(&mut self, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        let ids = self.named_instances(request)?;
        for instance in ids.iter().filter_map(|id| self.instances.get(id)) {
            if matches!(instance.state, State::Pending | State::ShuttingDown | State::Terminated) {
                return Err(wrong_state(instance, "stopped"));
            }
            if !instance.launch.can_stop {
                return Err(ApiError::new(
                    "UnsupportedOperation",
                    format!(
                        "You can't stop the Spot Instance '{}' because it is associated with a one-time Spot Instance request. You can \
                         only stop Spot Instances associated with persistent Spot Instance requests.",
                        instance.id
                    ),
                ));
            }
        }
        request.unless_dry_run()?;
        Ok(self.move_all(&ids, |state| (state == State::Running).then_some(State::Stopping), Some(&user_shutdown())))
    }

    /// `StartInstances`. A start needs capacity just as a launch does.
    pub(crate) fn start_instances(&mut self, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        let ids = self.named_instances(request)?;
        for instance in ids.iter().filter_map(|id| self.instances.get(id)) {
            match instance.state {
                State::Pending | State::Running => {}
                State::Stopped => self.faults.offers(&instance.instance_type, &instance.zone, instance.market)?,
                State::Stopping | State::ShuttingDown | State::Terminated => {
                    return Err(wrong_state(instance, "started"));
                }
            }
        }
        request.unless_dry_run()?;
        Ok(self.move_all(&ids, |state| (state == State::Stopped).then_some(State::Pending), None))
    }

    /// Moves each instance to where `next` sends its state, and answers the states before and after.
    fn move_all(
        &mut self,
        ids: &[String],
        next: impl Fn(State) -> Option<State>,
        reason: Option<&StateReason>,
    ) -> Vec<Element> {
        let mut changes = Vec::new();
        for id in ids {
            let Some(before) = self.instances.get(id).map(|instance| instance.state) else { continue };
            let after = next(before);
            if let Some(to) = after {
                self.change(id, to, reason.cloned());
            }
            changes.push(vec![
                Element::text("instanceId", id),
                state_element("currentState", after.unwrap_or(before)),
                state_element("previousState", before),
            ]);
        }
        vec![Element::list("instancesSet", changes)]
    }

    /// EC2 takes an instance away with no notice: it is terminated at once. False if there is none to take.
    pub fn kill(&mut self, now_ms: u64, id: &str) -> bool {
        self.settle(now_ms);
        let reason = match self.instances.get(id) {
            Some(instance) if instance.state == State::Terminated => return false,
            Some(instance) if instance.market == Market::Spot => spot_termination(),
            Some(_) => StateReason::new("Server.InternalError", "The machine under this instance failed"),
            None => return false,
        };
        self.change(id, State::Terminated, Some(reason));
        true
    }

    /// A Spot interruption warning now; the instance shuts down `Config::spot_warning_ms` later. False unless it is a
    /// Spot instance that pends or runs.
    pub fn warn_spot(&mut self, now_ms: u64, id: &str) -> bool {
        self.settle(now_ms);
        let Some(zone) = self.live_spot_zone(id) else { return false };
        self.tell(self.now_ms, id, &zone, Happening::SpotWarning);
        let end_ms = self.now_ms.saturating_add(self.config.spot_warning_ms);
        self.schedule.plan(end_ms, Due::SpotEnd { id: id.to_owned() });
        true
    }

    /// A rebalance recommendation now, and nothing else. False unless it is a Spot instance that pends or runs.
    pub fn rebalance(&mut self, now_ms: u64, id: &str) -> bool {
        self.settle(now_ms);
        let Some(zone) = self.live_spot_zone(id) else { return false };
        self.tell(self.now_ms, id, &zone, Happening::Rebalance);
        true
    }

    /// The guest shuts its own machine down (`shutdown -h`): terminated or stopped, as the launch's
    /// `InstanceInitiatedShutdownBehavior` says; a one-time Spot instance is terminated in any case. False unless it
    /// runs.
    pub fn shut_down_from_inside(&mut self, now_ms: u64, id: &str) -> bool {
        self.settle(now_ms);
        let Some(instance) = self.instances.get(id).filter(|instance| instance.state == State::Running) else {
            return false;
        };
        let ends = instance.launch.shutdown_terminates || !instance.launch.can_stop;
        let to = if ends { State::ShuttingDown } else { State::Stopping };
        self.change(id, to, Some(StateReason::new("Client.InstanceInitiatedShutdown", "Instance initiated shutdown")));
        true
    }

    fn live_spot_zone(&self, id: &str) -> Option<String> {
        self.instances
            .get(id)
            .filter(|instance| {
                instance.market == Market::Spot && matches!(instance.state, State::Pending | State::Running)
            })
            .map(|instance| instance.zone.clone())
    }
}

fn user_shutdown() -> StateReason {
    StateReason::new("Client.UserInitiatedShutdown", "User initiated shutdown")
}

fn spot_termination() -> StateReason {
    StateReason::new("Server.SpotInstanceTermination", "Spot instance termination")
}

fn wrong_state(instance: &Instance, wish: &str) -> ApiError {
    ApiError::new(
        "IncorrectInstanceState",
        format!("The instance '{}' is not in a state from which it can be {wish}.", instance.id),
    )
}

/// `<currentState><code>16</code><name>running</name></currentState>`.
pub(crate) fn state_element(name: &str, state: State) -> Element {
    Element::parent(name, vec![Element::text("code", state.code()), Element::text("name", state.name())])
}
