//! Sums of decimals without rounding, turned into a double once.
//!
//! A sum is a 128-bit integer and a power of ten: room for 38 digits. What does not fit is refused,
//! never rounded. Products are formed here too, because `rust_decimal` rounds those of more than
//! 28 digits.

use rust_decimal::Decimal;

/// An exact decimal sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExactSum {
    mantissa: i128,
    scale: u32,
}

/// A sum or product that needs more than 38 digits. The sum is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the exact result has more than 38 digits")]
pub struct TooLarge;

const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

impl ExactSum {
    /// The sum of one decimal.
    pub fn of(value: Decimal) -> ExactSum {
        ExactSum { mantissa: value.mantissa(), scale: value.scale() }
    }

    /// The decimal a double prints as (the shortest text that reads back as the same double).
    /// `None` for values that are not finite or need more than 38 digits.
    pub fn of_double(value: f64) -> Option<ExactSum> {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e')?;
        let fraction_digits = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let mantissa = digits.replace('.', "").parse::<i128>().ok()?;
        let scale = i32::try_from(fraction_digits).ok()? - exponent.parse::<i32>().ok()?;
        match u32::try_from(scale) {
            Ok(scale) => Some(ExactSum { mantissa, scale }),
            Err(_) => {
                let power = POWERS.get(scale.unsigned_abs() as usize)?;
                Some(ExactSum { mantissa: mantissa.checked_mul(*power)?, scale: 0 })
            }
        }
    }

    /// The product of two decimals.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn product(a: Decimal, b: Decimal) -> Result<ExactSum, TooLarge> {
        // Two 64-bit factors cannot overflow, and almost all prices and amounts are such.
        if let (Ok(x), Ok(y)) = (i64::try_from(a.mantissa()), i64::try_from(b.mantissa())) {
            return Ok(ExactSum { mantissa: i128::from(x) * i128::from(y), scale: a.scale() + b.scale() });
        }
        let (a, b) = (a.normalize(), b.normalize());
        let mantissa = a.mantissa().checked_mul(b.mantissa()).ok_or(TooLarge)?;
        Ok(ExactSum { mantissa, scale: a.scale() + b.scale() })
    }

    /// Adds another sum.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn add(&mut self, other: ExactSum) -> Result<(), TooLarge> {
        if self.scale == other.scale {
            self.mantissa = self.mantissa.checked_add(other.mantissa).ok_or(TooLarge)?;
            return Ok(());
        }
        *self = aligned_sum(*self, other).or_else(|| aligned_sum(self.stripped(), other.stripped())).ok_or(TooLarge)?;
        Ok(())
    }

    /// The nearest double, read from the decimal text, so that it equals the double of the same
    /// number printed by a venue.
    pub fn to_double(self) -> f64 {
        format!("{}e-{}", self.mantissa, self.scale).parse().expect("an integer with an exponent is a number")
    }

    /// The same number without trailing zeros.
    fn stripped(mut self) -> ExactSum {
        if self.mantissa == 0 {
            return ExactSum::default();
        }
        while self.scale > 0 && self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.scale -= 1;
        }
        self
    }
}

fn aligned_sum(a: ExactSum, b: ExactSum) -> Option<ExactSum> {
    let (coarse, fine) = if a.scale < b.scale { (a, b) } else { (b, a) };
    let power = POWERS.get((fine.scale - coarse.scale) as usize)?;
    let mantissa = coarse.mantissa.checked_mul(*power)?.checked_add(fine.mantissa)?;
    Some(ExactSum { mantissa, scale: fine.scale })
}

/// The double a decimal's text reads as. (`Decimal::to_f64` divides and may differ in the last bit.)
pub fn to_double(value: Decimal) -> f64 {
    ExactSum::of(value).to_double()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn sums_of_mixed_scales_are_exact() {
        let mut sum = ExactSum::default();
        for text in ["0.1", "0.20", "5", "0.00000001"] {
            sum.add(ExactSum::of(d(text))).unwrap();
        }
        assert_eq!(sum.to_double(), 5.30000001);
        assert_eq!(to_double(d("0.00095370")), 0.0009537);
        assert_eq!(to_double(d("-12.50")), -12.5);
    }

    #[test]
    fn products_beyond_28_digits_are_not_rounded() {
        let product = ExactSum::product(d("1.00000000000000001"), d("1.00000000000000001")).unwrap();
        assert_eq!(product, ExactSum { mantissa: 10000000000000000200000000000000001, scale: 34 });
        assert_eq!(ExactSum::product(Decimal::MAX, Decimal::MAX), Err(TooLarge));
        assert_eq!(ExactSum::product(Decimal::MAX, d("1.0000000000000")), Ok(ExactSum::of(Decimal::MAX)));
    }

    #[test]
    fn a_sum_that_does_not_fit_is_refused_and_left_alone() {
        let mut sum = ExactSum::of(Decimal::MAX);
        assert_eq!(sum.add(ExactSum::of(d("0.0000000000000000000000000001"))), Err(TooLarge));
        assert_eq!(sum, ExactSum::of(Decimal::MAX));
        assert_eq!(sum.add(ExactSum::of(d("1.0000000000000000000000000000"))), Ok(()));
        assert_eq!(sum.to_double(), 79228162514264337593543950336.0);
    }

    #[test]
    fn doubles_are_read_as_they_print() {
        assert_eq!(ExactSum::of_double(0.1), Some(ExactSum { mantissa: 1, scale: 1 }));
        assert_eq!(ExactSum::of_double(1.5e22), Some(ExactSum::of(d("15000000000000000000000"))));
        assert_eq!(ExactSum::of_double(0.0), Some(ExactSum::default()));
        assert_eq!(ExactSum::of_double(f64::NAN), None);
        assert_eq!(ExactSum::of_double(1e300), None);
    }

    proptest! {
        #[test]
        fn the_double_of_a_decimal_is_the_double_of_its_text(mantissa: i64, scale in 0u32..=28) {
            let value = Decimal::from_i128_with_scale(i128::from(mantissa), scale);
            prop_assert_eq!(to_double(value), value.to_string().parse::<f64>().unwrap());
        }

        #[test]
        fn order_of_summands_does_not_matter(parts in prop::collection::vec((any::<i32>(), 0u32..12), 0..30)) {
            let add = |sum: &mut ExactSum, (mantissa, scale): &(i32, u32)| {
                sum.add(ExactSum::of(Decimal::new(i64::from(*mantissa), *scale))).unwrap();
            };
            let (mut forward, mut backward) = (ExactSum::default(), ExactSum::default());
            parts.iter().for_each(|part| add(&mut forward, part));
            parts.iter().rev().for_each(|part| add(&mut backward, part));
            let oracle: Decimal = parts.iter().map(|(mantissa, scale)| Decimal::new(i64::from(*mantissa), *scale)).sum();
            prop_assert_eq!(forward.stripped(), backward.stripped());
            prop_assert_eq!(forward.stripped(), ExactSum::of(oracle).stripped());
        }
    }
}
