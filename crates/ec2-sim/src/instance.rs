//! One simulated instance: its facts, its state, and what lagging calls may see of it.
//!
//! Rule: `Instance` is the truth; a `View` is what was true at a moment, and describe calls get views only.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::Ipv4Addr,
};

use serde::Serialize;

use crate::{faults::Guest, parameters::Parameters, tokens::TokenKey};

/// The life of an instance. `Terminated` is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Launching or starting.
    Pending,
    /// Powered on.
    Running,
    /// On its way to terminated.
    ShuttingDown,
    /// Gone for good; described for an hour more.
    Terminated,
    /// On its way to stopped.
    Stopping,
    /// Powered off, can be started.
    Stopped,
}

impl State {
    /// The name on the wire and in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// The code beside the name, see <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html>.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    pub(crate) fn is_ending(self) -> bool {
        matches!(self, Self::ShuttingDown | Self::Terminated)
    }
}

/// How an instance is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// May be taken away.
    Spot,
    /// Stays until it is ended.
    OnDemand,
}

impl Market {
    /// The name in fleets and in fault patterns.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::OnDemand => "on-demand",
        }
    }
}

/// Why an instance is in its state, see <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html>.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateReason {
    /// `Client.UserInitiatedShutdown`, …
    pub code: String,
    /// In words.
    pub message: String,
}

impl StateReason {
    pub(crate) fn new(code: &str, message: &str) -> Self {
        Self { code: code.to_owned(), message: format!("{code}: {message}") }
    }
}

/// A launch template's id and version number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TemplateVersion {
    /// `lt-…`.
    pub id: String,
    /// 1 is the first.
    pub version: u32,
}

/// An instance as the machine room sees it: the truth, without the lag of the describe calls.
#[derive(Debug, Clone, Serialize)]
pub struct Instance {
    /// `i-` and 17 hexadecimal digits.
    pub id: String,
    /// The state now.
    pub state: State,
    /// Why it is in that state, where there is a reason to tell.
    pub state_reason: Option<StateReason>,
    /// Unique among the instances that are not terminated.
    pub private_ip: Ipv4Addr,
    /// There while pending or running; a stopped instance gets another one when it starts.
    pub public_ip: Option<Ipv4Addr>,
    /// The subnet's id.
    pub subnet_id: String,
    /// Availability zone, `us-east-1a`.
    pub zone: String,
    /// `t3.medium`.
    pub instance_type: String,
    /// Spot or on demand.
    pub market: Market,
    /// `ami-…`.
    pub image_id: String,
    /// Unix milliseconds of the launch, or of the last start.
    pub launched_at_ms: u64,
    /// The launch template, if it came from one.
    pub template: Option<TemplateVersion>,
    /// Tags, those that EC2 adds included.
    pub tags: BTreeMap<String, String>,
    /// User data as the launch gave it (base64).
    pub user_data: Option<String>,
    /// How often it was powered on: 1 from the launch, one more with each start.
    pub boot_no: u32,
    /// How its software behaves.
    pub guest: Guest,
    #[serde(skip)]
    pub(crate) launch: Launch,
    #[serde(skip)]
    pub(crate) views: VecDeque<View>,
}

/// What else a launch fixed: nothing of it changes later.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) reservation_id: String,
    /// The place in its reservation.
    pub(crate) index: usize,
    /// The request's token, which describe calls show.
    pub(crate) client_token: Option<String>,
    /// The use of a token that this instance belongs to.
    pub(crate) token_key: Option<TokenKey>,
    pub(crate) spot_request_id: Option<String>,
    /// False for one-time Spot, which can only be terminated.
    pub(crate) can_stop: bool,
    /// `InstanceInitiatedShutdownBehavior=terminate`.
    pub(crate) shutdown_terminates: bool,
    /// The request laid over the template: key, security groups, profile, metadata options.
    pub(crate) details: Parameters,
}

/// What was true of an instance from a moment on.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) since_ms: u64,
    pub(crate) state: State,
    pub(crate) state_reason: Option<StateReason>,
    pub(crate) public_ip: Option<Ipv4Addr>,
    pub(crate) launched_at_ms: u64,
}

impl Instance {
    /// What a call without lag sees.
    pub(crate) fn truth(&self) -> View {
        View {
            since_ms: self.views.back().map_or(self.launched_at_ms, |view| view.since_ms),
            state: self.state,
            state_reason: self.state_reason.clone(),
            public_ip: self.public_ip,
            launched_at_ms: self.launched_at_ms,
        }
    }

    /// What a call that lags so much sees; nothing while the instance is too new.
    pub(crate) fn seen(&self, now_ms: u64, lag_ms: u64) -> Option<&View> {
        self.views.iter().rev().find(|view| view.since_ms.saturating_add(lag_ms) <= now_ms)
    }

    /// Keeps the present as a view, and drops those that no call can see any more.
    pub(crate) fn remember(&mut self, now_ms: u64, lag_ms: u64) {
        let mut view = self.truth();
        view.since_ms = now_ms;
        while self.views.get(1).is_some_and(|next| next.since_ms.saturating_add(lag_ms) <= now_ms) {
            self.views.pop_front();
        }
        self.views.push_back(view);
    }
}

/// All instances that are not forgotten yet, in the order of their launch.
#[derive(Debug, Default)]
pub(crate) struct Instances {
    by_serial: BTreeMap<u64, Instance>,
    serials: HashMap<String, u64>,
    next_serial: u64,
}

impl Instances {
    pub(crate) fn insert(&mut self, instance: Instance) {
        self.serials.insert(instance.id.clone(), self.next_serial);
        self.by_serial.insert(self.next_serial, instance);
        self.next_serial += 1;
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Instance> {
        self.by_serial.get(self.serials.get(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Instance> {
        self.by_serial.get_mut(self.serials.get(id)?)
    }

    pub(crate) fn remove(&mut self, id: &str) {
        if let Some(serial) = self.serials.remove(id) {
            self.by_serial.remove(&serial);
        }
    }

    /// With the number of each in the order of launch.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u64, &Instance)> {
        self.by_serial.iter().map(|(serial, instance)| (*serial, instance))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Instance> {
        self.by_serial.values()
    }
}
