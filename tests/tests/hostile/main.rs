//! Hostile input: whatever comes as an event, an id, a header or a stored item is answered as documented, and nothing panics.
//!
//! Each target takes bytes and decides by them what to send. In an ordinary run it gets the corpus in `__fuzz__` and inputs
//! drawn from the seed that it prints (`POOL_TEST_SEED`). With `POOL_FUZZ_SECONDS`, as `tests/fuzz.sh` sets it, bolero draws
//! inputs for so long, prints the seed of what fails and makes that smaller. `docs/hostile-input.md` says the rest.

mod bed;
mod canaries;
mod choices;
mod events;
mod headers;
mod ids;
mod items;
mod mutate;
mod run;
