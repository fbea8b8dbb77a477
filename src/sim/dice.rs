//! Chance that repeats: every draw is a function of a key, never of the order of calls.
//!
//! Written here (splitmix64) rather than taken from a crate, because a seed quoted in a bug report
//! must still mean the same market after an upgrade.

/// Scrambles 64 bits (the finaliser of splitmix64).
pub(crate) fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A key from a text.
pub(crate) fn key_of(seed: u64, text: &str) -> u64 {
    text.bytes().fold(mix(seed), |key, byte| mix(key ^ u64::from(byte)))
}

/// A sequence of draws that belongs to a key.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(key: u64, index: i64) -> Dice {
        Dice(mix(key ^ mix(index as u64)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `0..bound`; 0 for an empty range.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// Exponentially distributed with mean 1, cut at 6.
    pub(crate) fn exponential(&mut self) -> f64 {
        (-(1.0 - self.unit()).ln()).min(6.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_an_index_always_give_the_same_draws() {
        let draws = |key, index| {
            let mut dice = Dice::new(key, index);
            (dice.below(1000), dice.below(1000), dice.below(1000))
        };
        assert_eq!(draws(1, 5), draws(1, 5));
        assert_ne!(draws(1, 5), draws(1, 6));
        assert_ne!(draws(1, 5), draws(2, 5));
        // The first output of splitmix64 for seed 0, as its author publishes it.
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
    }
}
