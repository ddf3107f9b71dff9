//! How a target is run: over its corpus, and over inputs that are drawn.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pool_tests::random::Random;

/// The longest input that an ordinary run draws; the bytes beyond would only be more of the same mutations.
const DRAWN_BYTES_MAX: usize = 96;

/// How long this process is to draw inputs, when it is told to.
#[expect(clippy::disallowed_methods, reason = "a run of the fuzzers is told its length")]
fn seconds() -> Option<u64> {
    std::env::var("POOL_FUZZ_SECONDS").ok().map(|text| text.parse().expect("POOL_FUZZ_SECONDS is a whole number"))
}

/// Runs a target. `corpus` is what `bolero::check!` knows of the test that calls this; `draws` are the inputs of an
/// ordinary run beyond the corpus.
pub(crate) fn run(
    name: &str,
    draws: usize,
    corpus: impl FnOnce(Engine, &mut dyn FnMut(&[u8])),
    target: impl Fn(&[u8]),
) {
    let executions = AtomicU64::new(0);
    let mut counted = |bytes: &[u8]| {
        executions.fetch_add(1, Ordering::Relaxed);
        target(bytes);
    };
    let seconds = seconds();
    corpus(Engine { seconds }, &mut counted);
    if seconds.is_none() {
        let mut random = Random::seeded();
        for _ in 0..draws {
            let length = random.below(DRAWN_BYTES_MAX);
            let bytes = random.bytes(length);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| counted(&bytes))) {
                println!("the input was {bytes:?}; put it into the corpus of {name}");
                resume_unwind(panic);
            }
        }
    }
    println!("{name}: {} executions", executions.load(Ordering::Relaxed));
}

/// How bolero is to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Engine {
    seconds: Option<u64>,
}

impl Engine {
    /// Inputs that bolero draws beyond the corpus: none in an ordinary run, whose inputs come from a seed of ours.
    pub(crate) fn iterations(self) -> usize {
        if self.seconds.is_some() { usize::MAX } else { 0 }
    }

    /// How long it may draw them.
    pub(crate) fn time(self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(3_600))
    }
}

/// A test that is a target of bolero: its name, its inputs of an ordinary run, and what to do with one.
macro_rules! fuzz {
    ($name:literal, $draws:expr, $target:expr) => {
        crate::run::run(
            $name,
            $draws,
            |engine, target| {
                let target = std::cell::RefCell::new(std::panic::AssertUnwindSafe(target));
                let target = std::panic::AssertUnwindSafe(target);
                bolero::check!(name = $name)
                    .with_iterations(engine.iterations())
                    .with_test_time(engine.time())
                    .for_each(|bytes: &[u8]| (target.borrow_mut())(bytes));
            },
            $target,
        )
    };
}
pub(crate) use fuzz;
