//! Memory that is taken while a shard is read and a grant is said, which every acquire does. The counts are what they are;
//! a change that takes much more is to be made knowingly.

use dhat::{HeapStats, Profiler};
use pool_bench::pieces;
use pool_bench::pool::shard;
use pool_store::{codec, expression};

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

/// Allocations while this is done.
fn allocations<T>(act: impl FnOnce() -> T) -> u64 {
    let before = HeapStats::get().total_blocks;
    let done = act();
    let after = HeapStats::get().total_blocks;
    drop(done);
    after - before
}

#[test]
fn a_full_shard_is_read_and_a_grant_is_said_with_few_allocations() {
    let _profiler = Profiler::builder().testing().build();
    let item = codec::encode(&shard(0, 16));
    let reading = allocations(|| codec::decode(&item));
    let grant = pieces::grant();
    let saying = allocations(|| expression::of(&grant));
    println!("{reading} to read a shard of 16, {saying} to say a grant");
    assert!(reading <= READING_MAX, "{reading}");
    assert!(saying <= SAYING_MAX, "{saying}");
}

/// Of each of sixteen members its address, type and zone, and the place where it is looked for in a message of damage.
const READING_MAX: u64 = 100;
const SAYING_MAX: u64 = 40;
