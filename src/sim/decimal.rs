//! Exact decimals as whole numbers of their last digit, and how venues print them.

use std::fmt::{self, Display, Write as _};

/// Digits after the point of every amount.
pub(crate) const AMOUNT_DECIMALS: u32 = 8;

/// `value` counted in units of 10^-`scale`, shown with exactly `digits` digits after the point
/// (further ones are cut off, as Kraken does with its vwap).
#[derive(Clone, Copy)]
pub(crate) struct Fixed {
    pub(crate) value: i128,
    pub(crate) scale: u32,
    pub(crate) digits: u32,
}

pub(crate) fn fixed(value: impl Into<i128>, scale: u32, digits: u32) -> Fixed {
    Fixed { value: value.into(), scale, digits }
}

impl Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = rescale(self.value, self.scale, self.digits);
        if value < 0 {
            f.write_char('-')?;
        }
        let (value, unit) = (value.unsigned_abs(), 10u128.pow(self.digits));
        write!(f, "{}", value / unit)?;
        if self.digits > 0 {
            write!(f, ".{:0width$}", value % unit, width = self.digits as usize)?;
        }
        Ok(())
    }
}

/// The same number without trailing zeros, but with one digit after the point: how Kraken's
/// WebSocket writes quantities.
pub(crate) struct Trimmed(pub(crate) Fixed);

impl Display for Trimmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let Some((whole, fraction)) = text.split_once('.') else { return f.write_str(&text) };
        let fraction = fraction.trim_end_matches('0');
        write!(f, "{whole}.{}", if fraction.is_empty() { "0" } else { fraction })
    }
}

/// The same number without trailing zeros, and without a point where nothing is left behind it: how
/// JSON numbers are usually written.
pub(crate) struct Shortest(pub(crate) Fixed);

impl Display for Shortest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        f.write_str(if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text })
    }
}

/// Moves the last digit; cuts towards zero.
pub(crate) fn rescale(value: i128, from: u32, to: u32) -> i128 {
    if to >= from { value * 10i128.pow(to - from) } else { value / 10i128.pow(from - to) }
}

/// A quotient of two exact numbers in units of 10^-`digits`, cut towards zero.
pub(crate) fn quotient(value: i128, scale: u32, by: i128, by_scale: u32, digits: u32) -> i128 {
    if by == 0 {
        return 0;
    }
    // value*10^-scale / (by*10^-by_scale), in units of 10^-digits.
    let power = i64::from(digits) + i64::from(by_scale) - i64::from(scale);
    if power >= 0 { value * 10i128.pow(power as u32) / by } else { value / by / 10i128.pow(-power as u32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_padded_and_cut_like_the_venues_print_them() {
        assert_eq!(fixed(912_156, 1, 1).to_string(), "91215.6");
        assert_eq!(fixed(912_156, 1, 5).to_string(), "91215.60000");
        assert_eq!(fixed(7, 8, 8).to_string(), "0.00000007");
        assert_eq!(fixed(0, 0, 1).to_string(), "0.0");
        assert_eq!(fixed(-15, 1, 0).to_string(), "-1");
        assert_eq!(Trimmed(fixed(1_530_000, 8, 8)).to_string(), "0.0153");
        assert_eq!(Trimmed(fixed(200_000_000, 8, 8)).to_string(), "2.0");
        assert_eq!(Shortest(fixed(200_000_000, 8, 8)).to_string(), "2");
        assert_eq!(Shortest(fixed(100, 0, 0)).to_string(), "100");
        assert_eq!(Shortest(fixed(9_122_140, 2, 2)).to_string(), "91221.4");
        // 10.5 / 4 = 2.625
        assert_eq!(fixed(quotient(105, 1, 400_000_000, 8, 2), 2, 2).to_string(), "2.62");
    }
}
