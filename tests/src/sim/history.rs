//! What callers saw of each key, in real time: it must be possible to put it in an order in which a lease that is
//! granted once, renewed while it lives and gone after its release explains every answer (linearizability).

use std::collections::{BTreeMap, BTreeSet};

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

/// Operations on one key that are checked at most; the search grows fast with those that overlap.
const OPERATIONS_MAX: usize = 24;

/// A grant, named by its lease id.
pub type Grant = String;

/// What a caller asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Asks for a lease, or looks at what became of asking.
    Acquire,
    /// Renews this grant.
    Renew(Grant),
    /// Gives this grant back.
    Release(Grant),
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It holds this grant.
    Granted(Grant),
    /// The grant was prolonged.
    Renewed,
    /// The grant is over.
    Released,
    /// Anything else, which says nothing about the lease.
    Other,
}

/// The lease of one key, as it should be. A grant may end at any time by itself (it expires, its instance goes), so a
/// new one may take its place; an old one never comes back.
#[derive(Debug, Clone, Default)]
struct LeaseOfKey {
    current: Option<Grant>,
    seen: BTreeSet<Grant>,
}

impl SequentialSpec for LeaseOfKey {
    type Op = Operation;
    type Ret = Answer;

    fn invoke(&mut self, operation: &Operation) -> Answer {
        // An operation whose answer is not known: a release may have had its effect. A grant that nobody was told of
        // is the same as one that is told of later.
        if let Operation::Release(grant) = operation
            && self.current.as_ref() == Some(grant)
        {
            self.current = None;
        }
        Answer::Other
    }

    fn is_valid_step(&mut self, operation: &Operation, answer: &Answer) -> bool {
        match (operation, answer) {
            (Operation::Acquire, Answer::Granted(grant)) => {
                if self.current.as_ref() == Some(grant) {
                    return true;
                }
                self.current = Some(grant.clone());
                self.seen.insert(grant.clone())
            }
            (Operation::Renew(grant), Answer::Renewed) => {
                // Its holder may have been told of the grant by an answer that was lost on its way here.
                if self.seen.insert(grant.clone()) {
                    self.current = Some(grant.clone());
                }
                self.current.as_ref() == Some(grant)
            }
            (Operation::Release(grant), Answer::Released) => {
                self.seen.insert(grant.clone());
                if self.current.as_ref() == Some(grant) {
                    self.current = None;
                }
                true
            }
            (_, Answer::Other) => true,
            _ => false,
        }
    }
}

/// One thing that happened at a key.
#[derive(Debug, Clone)]
enum Moment {
    Asked(u64, Operation),
    Told(u64, Answer),
}

/// All keys' histories.
#[derive(Debug, Default)]
pub struct History {
    keys: BTreeMap<String, Vec<Moment>>,
    operations: u64,
}

impl History {
    /// An operation begins; its number is for [`History::told`].
    pub fn asked(&mut self, key: &str, operation: Operation) -> u64 {
        self.operations += 1;
        self.keys.entry(key.to_owned()).or_default().push(Moment::Asked(self.operations, operation));
        self.operations
    }

    /// It ends with an answer. One whose answer never came is never told of.
    pub fn told(&mut self, key: &str, number: u64, answer: Answer) {
        self.keys.entry(key.to_owned()).or_default().push(Moment::Told(number, answer));
    }

    /// Checks every key.
    ///
    /// # Errors
    /// A key whose history no order explains, with that history.
    pub fn check(&self) -> Result<(), String> {
        for (key, moments) in &self.keys {
            let mut tester = LinearizabilityTester::new(LeaseOfKey::default());
            for moment in moments.iter().take(OPERATIONS_MAX * 2) {
                match moment.clone() {
                    Moment::Asked(number, operation) => tester.on_invoke(number, operation)?,
                    Moment::Told(number, answer) => tester.on_return(number, answer)?,
                };
            }
            if !tester.is_consistent() {
                return Err(format!("the history of {key} is not linearizable: {moments:#?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(moments: &[(u64, Result<Operation, Answer>)]) -> Result<(), String> {
        let moments = moments.iter().cloned().map(|(number, what)| match what {
            Ok(operation) => Moment::Asked(number, operation),
            Err(answer) => Moment::Told(number, answer),
        });
        History { keys: BTreeMap::from([("key".to_owned(), moments.collect())]), operations: 0 }.check()
    }

    #[test]
    fn a_released_grant_that_comes_back_is_found() {
        let granted = |grant: &str| Err(Answer::Granted(grant.to_owned()));
        let good = [
            (1, Ok(Operation::Acquire)),
            (1, granted("a")),
            (2, Ok(Operation::Release("a".to_owned()))),
            (2, Err(Answer::Released)),
            (3, Ok(Operation::Acquire)),
            (3, granted("b")),
        ];
        history(&good).expect("it is explained");
        let mut bad = good.clone();
        bad[5] = (3, granted("a"));
        history(&bad).expect_err("a grant is back after its release");
        // While the release is under way its effect may be later.
        let overlapping = [good[0].clone(), good[1].clone(), good[2].clone(), good[4].clone(), bad[5].clone()];
        history(&overlapping).expect("it is explained");
    }
}
