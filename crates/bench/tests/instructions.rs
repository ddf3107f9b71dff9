//! Instructions of our own code that every acquire runs, as the tests are compiled. A change that takes much more is to be
//! made knowingly.

use std::path::Path;

use pool_bench::pieces::Piece;

/// A count varies by some percent with the seeds of the hash maps, and by more with the compiler.
fn at_most(piece: Piece) -> u64 {
    match piece {
        Piece::Decode => 230_000,
        Piece::Grant => 17_000,
        Piece::AccessToken => 24_000,
    }
}

#[test]
#[ignore = "needs Valgrind: bash tests/instructions.sh, which CI runs"]
fn the_pieces_of_an_acquire_take_few_instructions() {
    for piece in Piece::ALL {
        let counted = piece.instructions(Path::new(env!("CARGO_BIN_EXE_pool-bench"))).expect("valgrind counts");
        println!("{counted} to {}", piece.name());
        assert!((1..=at_most(piece)).contains(&counted), "{counted} to {}", piece.name());
    }
}
