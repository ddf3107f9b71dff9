//! Randomness from a seed: the same seed gives the same test. The algorithm is `SplitMix64` (Steele, Lea, Flood,
//! "Fast splittable pseudorandom number generators", 2014).

/// The seed when the variable is not set.
const DEFAULT_SEED: u64 = 20_261_123;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The stream of the seed in `POOL_TEST_SEED`, or of the default one. The seed is printed, so that a failure shows
    /// how to repeat it.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a randomised test reads its seed")]
    pub fn seeded() -> Self {
        let seed = std::env::var("POOL_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_SEED);
        println!("POOL_TEST_SEED={seed}");
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is at least 1.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("a usize fits");
        usize::try_from(self.number() % limit).expect("it is below a usize")
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// So many random bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.number().to_le_bytes()[0]).collect()
    }

    /// Puts them into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
