//! Leases and waiting in one shard: two instances, three clients, and a network that keeps every write.
//!
//! The rule: **whatever could have been sent may arrive, at any time and as often as it likes.** From the moment a lease
//! exists, its renewal, confirmation, release and expiry are on their way; they arrive now, late, twice, after later
//! grants, or never. So a lost answer, a client that retries the same write, a delayed duplicate and a crashed client
//! are not cases of their own here: each is one of these histories. For the same reason no client needs a memory: what
//! one could know and send, the network has already.
//!
//! Time is in the writes alone, as in the table: an expiry carries its own clock, and some carry one that runs ahead.
//!
//! Epochs are counted by grants. A write that grants nothing raises the shard's epoch too, which the model checks and
//! then takes back: of an epoch that belongs to no lease nothing but "higher than all" can be observed, and without
//! this a renewal repeated for ever would be a new state each time.

use std::collections::BTreeSet;

use pool_core::ids::{InstanceId, NodeKey, Owner, Token};
use pool_core::shard::{AfterEnd, EndedBy, Kind, LeaseRef, Market, Member, Next, Shard, Terms, Transition};
use pool_core::time::Timestamp;
use stateright::{Model, Property};

use crate::check::Accepted;

/// An instance never has two leases that neither ended.
pub const ONE_LEASE_AN_INSTANCE: &str = "an instance has at most one live lease";
/// A token never has two leases, nor a lease and a wait, nor two waits.
pub const ONE_LEASE_A_TOKEN: &str = "a token has at most one lease";
/// What names a lease that is over is refused and changes nothing.
pub const STALE_CHANGES_NOTHING: &str = "an effect under a stale epoch changes nothing";
/// Every write raises the shard's epoch, and each grant of an instance has a higher one than those before.
pub const EPOCHS_GROW: &str = "epochs only grow";
/// From every state all leases can be cleared away by anybody.
pub const EVERY_LEASE_CAN_END: &str = "every lease can end";
/// `free` and `queue` are never both non-empty.
pub const NOBODY_WAITS_BESIDE_FREE: &str = "nobody waits while something is free";

const INSTANCES: u64 = 2;
const CLIENTS: usize = 3;
/// Grants in a history: as many as two epochs for each instance.
const GRANTS_MAX: usize = 4;
/// Waits that one client begins, one after the other.
const WAITS_MAX: u64 = 2;
const QUEUE_MAX: u64 = 3;

/// The end of a lease that was granted or confirmed, and not renewed.
const LEASE_ENDS: Timestamp = Timestamp(50);
/// A clock at which such a lease is over; those that wait still do.
const AFTER_LEASE: Timestamp = Timestamp(60);
/// When a lease that was handed over must be confirmed, and a clock past it.
const CLAIM_ENDS: Timestamp = Timestamp(70);
const AFTER_CLAIM: Timestamp = Timestamp(80);
/// The first wait ends here, each later one a second after that before.
const WAIT_ENDS: Timestamp = Timestamp(100);
/// The end of a lease that was renewed, and a clock at which every lease and wait is over.
const RENEWED_ENDS: Timestamp = Timestamp(200);
const AFTER_ALL: Timestamp = Timestamp(300);
const HARD_END: Timestamp = Timestamp(1_000);

/// What the table looks at when a write names a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Token, instance and epoch: the real one.
    Fenced,
    /// Token and instance only, as if leases had no epochs.
    Unfenced,
}

/// The model.
#[derive(Debug, Clone)]
pub struct Small {
    /// Its table.
    pub table: Table,
    /// What was accepted.
    pub accepted: Accepted,
}

/// The table, and what is true of the past.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    shard: Shard,
    /// Every grant so far; the first has epoch 1.
    grants: Vec<LeaseRef>,
    /// Grants that were not ended by a write that names them.
    live: Vec<LeaseRef>,
    /// How many waits each client has begun.
    waits: [u64; CLIENTS],
    /// What a step broke.
    broken: BTreeSet<&'static str>,
}

impl Small {
    /// The model with this table.
    #[must_use]
    pub fn of(table: Table) -> Self {
        Self { table, accepted: Accepted::default() }
    }

    /// Carries out a write as this table does.
    fn apply(&self, shard: &mut Shard, write: &Transition) -> bool {
        let mut write = write.clone();
        if self.table == Table::Unfenced
            && let Some(named) = lease_named(&mut write)
            && let Some(present) = shard.lease(&named.token)
            && present.instance == named.instance
        {
            named.epoch = present.epoch;
        }
        shard.apply(&write).is_ok()
    }
}

impl Model for Small {
    type State = State;
    type Action = Transition;

    fn init_states(&self) -> Vec<State> {
        let mut shard = Shard::new(0);
        for number in 0..INSTANCES {
            shard.free.push(instance(number));
            shard.members.insert(instance(number), member());
        }
        vec![State { shard, grants: Vec::new(), live: Vec::new(), waits: [0; CLIENTS], broken: BTreeSet::new() }]
    }

    fn actions(&self, state: &State, writes: &mut Vec<Transition>) {
        let mut table = state.shard.clone();
        for write in state.on_their_way() {
            // A refused write leaves the copy as it is, so only those that are accepted cost a new one.
            if self.apply(&mut table, &write) {
                table = state.shard.clone();
                writes.push(write);
            }
        }
    }

    fn next_state(&self, before: &State, write: Transition) -> Option<State> {
        let mut after = before.clone();
        if !self.apply(&mut after.shard, &write) {
            return None;
        }
        self.accepted.note(write.name());
        after.follow(&before.shard, write);
        (after.grants.len() <= GRANTS_MAX).then_some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_LEASE_AN_INSTANCE, |_, state: &State| {
                let leased: BTreeSet<_> = state.live.iter().map(|lease| &lease.instance).collect();
                leased.len() == state.live.len()
                    && state.shard.leases.values().all(|instance| !state.shard.free.contains(instance))
            }),
            Property::always(ONE_LEASE_A_TOKEN, |_, state: &State| {
                let mut known: Vec<_> = state.live.iter().map(|lease| &lease.token).collect();
                known.extend(&state.shard.queue);
                let count = known.len();
                known.sort_unstable();
                known.dedup();
                known.len() == count
            }),
            Property::always(STALE_CHANGES_NOTHING, |_, state: &State| !state.broken.contains(STALE_CHANGES_NOTHING)),
            Property::always(EPOCHS_GROW, |_, state: &State| !state.broken.contains(EPOCHS_GROW)),
            Property::always(EVERY_LEASE_CAN_END, |_, state: &State| can_all_end(state.shard.clone())),
            Property::always(NOBODY_WAITS_BESIDE_FREE, |_, state: &State| {
                state.shard.free.is_empty() || state.shard.queue.is_empty()
            }),
        ]
    }

    fn format_action(&self, write: &Transition) -> String {
        format!("{}: {write:?}", write.name())
    }
}

impl State {
    /// All that may arrive now, whether it was sent just now or long ago.
    fn on_their_way(&self) -> Vec<Transition> {
        let mut writes = Vec::new();
        for client in 0..CLIENTS {
            ask(client, self.waits[client], &mut writes);
        }
        for lease in &self.grants {
            name(lease, &mut writes);
        }
        writes
    }

    /// Takes in what an accepted write changed.
    fn follow(&mut self, before: &Shard, mut write: Transition) {
        if self.shard.epoch <= before.epoch {
            self.broken.insert(EPOCHS_GROW);
        }
        if let Transition::Enqueue { token, terms, .. } = &write {
            let client = client_of(token);
            self.waits[client] = self.waits[client].max(wait_number(terms));
        }
        if let Some(named) = lease_named(&mut write).cloned() {
            if before.lease(&named.token).as_ref() != Some(&named) {
                self.broken.insert(STALE_CHANGES_NOTHING);
            }
            if self.shard.lease(&named.token).as_ref() != Some(&named) {
                self.live.retain(|lease| *lease != named);
            }
        }
        let granted: Vec<LeaseRef> = self.shard.leases.keys().filter_map(|token| self.shard.lease(token)).collect();
        for lease in granted {
            if before.lease(&lease.token).as_ref() == Some(&lease) {
                continue;
            }
            if self.grants.iter().any(|earlier| earlier.instance == lease.instance && earlier.epoch >= lease.epoch) {
                self.broken.insert(EPOCHS_GROW);
            }
            self.live.push(lease.clone());
            self.grants.push(lease);
        }
        self.shard.epoch = self.grants.len() as u64;
        for member in self.shard.members.values_mut() {
            // Nothing in the protocol looks at these two.
            (member.since, member.served) = (Timestamp(0), 0);
        }
    }
}

/// What a client sends to get a lease or to stop waiting for one.
fn ask(client: usize, begun: u64, writes: &mut Vec<Transition>) {
    let token = || token(client);
    let terms = |until| Terms { owner: owner(client), until, hard_end: HARD_END, ttl_seconds: 50 };
    writes.push(Transition::Grant { token: token(), terms: terms(LEASE_ENDS), layout: 0 });
    for wait in 1..=WAITS_MAX.min(begun + 1) {
        let until = WAIT_ENDS + wait;
        writes.push(Transition::Enqueue { token: token(), terms: terms(until), layout: 0, queue_max: QUEUE_MAX });
        if wait <= begun {
            writes.extend((0..QUEUE_MAX).map(|position| Transition::GiveUp { token: token(), position, until }));
        }
    }
    let others = (0..CLIENTS).filter(|other| *other != client).map(self::token);
    writes.extend(others.map(|second| Transition::DropPast { first: token(), second, now: AFTER_ALL }));
}

/// All that names a lease: what its holder sends, and what anybody sends who finds it overdue.
fn name(lease: &LeaseRef, writes: &mut Vec<Transition>) {
    let owner = owner(client_of(&lease.token));
    let lease = || lease.clone();
    writes.push(Transition::Renew { lease: lease(), owner: owner.clone(), now: Timestamp(0), until: RENEWED_ENDS });
    writes.push(Transition::Confirm { lease: lease(), owner: owner.clone(), until: LEASE_ENDS, hard_end: HARD_END });
    let hand_over = |client| Next::HandOver { waiter: token(client), claim_until: CLAIM_ENDS };
    let nexts: Vec<Next> = [Next::Free].into_iter().chain((0..CLIENTS).map(hand_over)).collect();
    let ends = [
        (EndedBy::Owner(owner), Timestamp(0)),
        (EndedBy::Expiry, AFTER_LEASE),
        (EndedBy::Expiry, AFTER_ALL),
        (EndedBy::Unclaimed, AFTER_CLAIM),
    ];
    for (by, now) in ends {
        for next in &nexts {
            let after = AfterEnd::Reuse(next.clone());
            writes.push(Transition::End { lease: lease(), by: by.clone(), after, now });
        }
    }
}

/// The lease that a write names.
fn lease_named(write: &mut Transition) -> Option<&mut LeaseRef> {
    match write {
        Transition::Confirm { lease, .. }
        | Transition::Renew { lease, .. }
        | Transition::End { lease, .. }
        | Transition::Requeue { lease }
        | Transition::Swap { lease, .. } => Some(lease),
        _ => None,
    }
}

/// Whether everybody's leases can be ended by someone who knows only the shard and that much time has passed.
fn can_all_end(mut shard: Shard) -> bool {
    while let Some(token) = shard.queue.first().cloned() {
        let Some(until) = shard.queue_terms.get(&token).map(|terms| terms.until) else { return false };
        if shard.apply(&Transition::GiveUp { token, position: 0, until }).is_err() {
            return false;
        }
    }
    let leases: Vec<LeaseRef> = shard.leases.keys().filter_map(|token| shard.lease(token)).collect();
    leases.into_iter().all(|lease| {
        let by = if shard.claims.contains_key(&lease.token) { EndedBy::Unclaimed } else { EndedBy::Expiry };
        let end = Transition::End { lease, by, after: AfterEnd::Reuse(Next::Free), now: Timestamp::NEVER };
        shard.apply(&end).is_ok()
    })
}

/// Which of its waits a client's terms are of.
fn wait_number(terms: &Terms) -> u64 {
    terms.until.seconds_since(WAIT_ENDS)
}

fn client_of(token: &Token) -> usize {
    (0..CLIENTS).find(|client| self::token(*client) == *token).expect("a client's token")
}

fn token(client: usize) -> Token {
    Token::trusted(["ann", "bob", "cid"][client])
}

fn owner(client: usize) -> Owner {
    Owner::trusted(["ann", "bob", "cid"][client])
}

fn instance(number: u64) -> InstanceId {
    InstanceId::trusted(format!("i-{number}"))
}

fn member() -> Member {
    let kind = Kind { instance_type: String::new(), zone: String::new(), market: Market::Spot, template_version: 1 };
    Member { address: "a".to_owned(), key: NodeKey::default(), boot_id: 1, since: Timestamp(0), served: 0, kind }
}
