//! Runs a model and says what was found: how many states there were, and the history that breaks a property.
//!
//! The rule: a check that finds nothing says so only after all states were seen; one that looks for a broken property
//! ends when it has it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use stateright::{Checker, HasDiscoveries, Model, Property};

/// Threads that search; the machine that this was made for has two cores.
const THREADS: usize = 2;

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// States that differ.
    pub states: usize,
    /// Steps taken, also into states that were known.
    pub steps: usize,
    /// The longest history, in states.
    pub depth: usize,
    /// Properties that do not hold, each with a history that breaks it, one step a line.
    pub broken: BTreeMap<&'static str, Vec<String>>,
}

/// The names of the transitions that were accepted in some history, so that a test can see that something happened.
#[derive(Debug, Clone, Default)]
pub struct Accepted(Arc<Mutex<BTreeSet<&'static str>>>);

impl Accepted {
    /// The names.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note(&self, name: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }
}

/// Sees every state of a model that is meant to hold.
pub fn all<M>(name: &str, model: M) -> Found
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq,
{
    // A broken property must not end the search early, or the others would not be told.
    tell(name, search(model, HasDiscoveries::All, THREADS))
}

/// Searches a model, the shortest histories first, until it breaks this property, or in vain.
pub fn until_broken<M>(name: &str, model: M, property: &'static str) -> Found
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq,
{
    // With one thread the history that is found is a shortest one.
    let property = model.property(property);
    tell(name, search(Hunt { model, property }, HasDiscoveries::Any, 1))
}

/// A model with one property only. With others beside it the search would go on after it was broken, and tell a later
/// history than the first.
struct Hunt<M: Model> {
    model: M,
    property: Property<M>,
}

impl<M: Model> Model for Hunt<M> {
    type State = M::State;
    type Action = M::Action;

    fn init_states(&self) -> Vec<M::State> {
        self.model.init_states()
    }

    fn actions(&self, state: &M::State, actions: &mut Vec<M::Action>) {
        self.model.actions(state, actions);
    }

    fn next_state(&self, state: &M::State, action: M::Action) -> Option<M::State> {
        self.model.next_state(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(self.property.name, |hunt, state| (hunt.property.condition)(&hunt.model, state))]
    }

    fn format_action(&self, action: &M::Action) -> String
    where
        M::Action: Debug,
    {
        self.model.format_action(action)
    }
}

fn search<M>(model: M, enough: HasDiscoveries, threads: usize) -> Found
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq,
{
    let checker = model.checker().threads(threads).finish_when(enough).spawn_bfs().join();
    let discoveries = checker.discoveries().into_iter();
    let broken = discoveries.map(|(property, path)| {
        let steps = path.into_actions();
        (property, steps.iter().map(|step| checker.model().format_action(step)).collect())
    });
    Found {
        broken: broken.collect(),
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
    }
}

fn tell(name: &str, found: Found) -> Found {
    println!("{name}: {} states, {} steps, depth {}", found.states, found.steps, found.depth);
    for (property, history) in &found.broken {
        println!("  broken: {property}");
        for (number, step) in history.iter().enumerate() {
            println!("  {:>3}. {step}", number + 1);
        }
    }
    found
}
