//! A simulated EC2: one piece of code on the wire (`wire`) and in process (`Ec2`).
//!
//! It does what the project must be right under and no emulator tried does: `ClientToken` idempotency, instances that
//! take time to change state, calls that lag behind a launch, offerings without capacity, fleets that come in part,
//! throttling, lost answers, Spot interruption and rebalance, and the events that go with it all.
//!
//! Rules:
//! - `Ec2` is a value: no IO, no clock, no thread, no global randomness. Time enters as `now_ms` (Unix milliseconds)
//!   and never goes back, randomness comes from [`Config::seed`], so the same calls give the same answers.
//! - Where AWS documents a behaviour, it is that one; what is not simulated is refused with a sentence, never taken and
//!   ignored where it would change what is launched.
//! - Nothing a caller sends makes it panic: an answer is XML, a success or one of EC2's errors.

mod action;
mod addresses;
mod config;
mod describe;
mod error;
mod events;
mod faults;
mod filters;
mod fleet;
mod instance;
mod launch;
mod lifecycle;
mod paging;
mod parameters;
mod random;
mod tags;
mod templates;
mod tokens;
pub mod wire;
mod xml;

use std::{collections::VecDeque, net::Ipv4Addr};

use serde_json::Value;

pub use action::Answer;
pub use config::{Config, Subnet};
pub use faults::{ErrorNext, Faults, Guest, Refusal};
pub use instance::{Instance, Market, State, StateReason, TemplateVersion};

use addresses::AddressPool;
use instance::Instances;
use lifecycle::{Due, Schedule};
use parameters::Parameters;
use random::Random;
use templates::Templates;
use tokens::{Outcome, TokenKey, Tokens};

/// As many blocks as the third byte of an address has values.
const SUBNETS_MAX: usize = 256;

/// The whole state of simulated EC2.
#[derive(Debug)]
pub struct Ec2 {
    config: Config,
    faults: Faults,
    random: Random,
    /// The latest moment that any caller has told.
    now_ms: u64,
    instances: Instances,
    templates: Templates,
    tokens: Tokens,
    schedule: Schedule,
    /// Events that happened and were not fetched yet, each with its moment.
    outbox: VecDeque<(u64, Value)>,
    /// One pool for each subnet, in the configuration's order.
    private_addresses: Vec<AddressPool>,
    public_addresses: [AddressPool; 2],
}

impl Ec2 {
    /// An EC2 without instances.
    #[must_use]
    pub fn new(mut config: Config) -> Self {
        config.subnets.truncate(SUBNETS_MAX);
        // Blocks of a power of two, so that each is a CIDR block, and none larger than the /20 of a default VPC.
        let (a, b) = config.address_network;
        let width = (SUBNETS_MAX / config.subnets.len().next_power_of_two()).min(16);
        let width = u8::try_from(width).unwrap_or(1);
        let thirds = (0..=u8::MAX).step_by(usize::from(width));
        let pool = |third: u8| AddressPool::new(Ipv4Addr::new(a, b, third, 0), u32::from(width) * 256);
        Self {
            random: Random::new(config.seed),
            faults: Faults::default(),
            now_ms: 0,
            instances: Instances::default(),
            templates: Templates::default(),
            tokens: Tokens::default(),
            schedule: Schedule::default(),
            outbox: VecDeque::new(),
            private_addresses: thirds.take(config.subnets.len()).map(pool).collect(),
            // Blocks that nothing answers in, so that a caller that wrongly uses an address finds out: one for
            // documentation (RFC 5737), and for more instances than it has addresses one for benchmarks (RFC 2544).
            public_addresses: [
                AddressPool::new(Ipv4Addr::new(203, 0, 113, 0), 256),
                AddressPool::new(Ipv4Addr::new(198, 18, 0, 0), 131_072),
            ],
            config,
        }
    }

    /// Moves time on; returns the `EventBridge` events that fell due, in order.
    pub fn advance(&mut self, now_ms: u64) -> Vec<Value> {
        self.settle(now_ms);
        self.outbox.drain(..).map(|(_, event)| event).collect()
    }

    /// When something falls due next, in Unix milliseconds: a change of state, or an event that waits to be fetched
    /// (then it is past).
    #[must_use]
    pub fn next_due_ms(&self) -> Option<u64> {
        let waiting = self.outbox.front().map(|(at_ms, _)| *at_ms);
        waiting.into_iter().chain(self.schedule.next_ms()).min()
    }

    /// Instances as they are, not as describe calls show them, in the order of their launch. Terminated ones stay for
    /// an hour.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter()
    }

    /// Changes how the guest of one instance behaves. False if there is no such instance.
    pub fn set_guest(&mut self, id: &str, guest: Guest) -> bool {
        let Some(instance) = self.instances.get_mut(id) else { return false };
        instance.guest = guest;
        true
    }

    /// Replaces the faults.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// The faults in force; counted ones go down as they are used up.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Notes what a request did under its token, if it had one.
    fn record_token(&mut self, key: Option<TokenKey>, request: &Parameters, outcome: Outcome, instances: usize) {
        let Some(key) = key else { return };
        if let Some(forget_at_ms) = self.tokens.record(key.clone(), request, outcome, instances, self.now_ms) {
            self.schedule.plan(forget_at_ms, Due::ForgetToken(key));
        }
    }
}
