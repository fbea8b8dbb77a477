//! The random part of waits, from a seed that is handed down the tree.
//!
//! Every parent draws from a sequence of its own, which follows from the seed and its place in the
//! tree alone: what one draws is no matter to the others, and a seed repeats a whole run.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// One parent's sequence.
#[derive(Debug)]
pub struct Jitter {
    seed: u64,
    draws: StdRng,
}

impl Jitter {
    /// The sequence of the root.
    pub fn new(seed: u64) -> Jitter {
        Jitter { seed, draws: StdRng::seed_from_u64(seed) }
    }

    /// The sequence of one life of a child.
    pub fn of(&self, id: &str, generation: u64) -> Jitter {
        let own = id.bytes().chain(generation.to_le_bytes()).fold(self.seed, |seed, byte| {
            // FNV-1a: the same on every machine and in every version.
            (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        Jitter::new(own)
    }

    /// The next random part, in `0..1`.
    pub fn draw(&mut self) -> f64 {
        self.draws.random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(mut jitter: Jitter) -> Vec<f64> {
        (0..4).map(|_| jitter.draw()).collect()
    }

    #[test]
    fn a_seed_and_a_place_in_the_tree_always_give_the_same_draws() {
        let root = Jitter::new(17);
        let kraken = draws(root.of("kraken", 1));
        assert!(kraken.iter().all(|draw| (0.0..1.0).contains(draw)), "{kraken:?}");
        let mut other = Jitter::new(17);
        other.draw();
        assert_eq!(draws(other.of("kraken", 1)), kraken, "what the parent drew before is no matter");
        for different in [root.of("kraken", 2), root.of("binance", 1), Jitter::new(18).of("kraken", 1), root] {
            assert_ne!(draws(different), kraken);
        }
    }
}
