//! Sums and exponentials of many numbers at once.
//!
//! Kernels and networks spend their time here. Loops have no branch and no table and keep eight sums apart, so
//! that the compiler turns them into vectors on any machine; libm takes one number at a time. x = k ln 2 + r with |r| <= ln 2 / 2,
//! e^r from its series, 2^k from the bits of the exponent. Without fused operations: the same bits everywhere.

/// Adding it leaves an integer in the lowest bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// 1 / k! for k = 13, 12, … 2: the next term is below 2^-56 of the sum.
const SERIES: [f64; 12] = [
    1.605_904_383_682_161_5e-10,
    2.087_675_698_786_81e-9,
    2.505_210_838_544_172e-8,
    2.755_731_922_398_589e-7,
    2.755_731_922_398_589_3e-6,
    2.480_158_730_158_73e-5,
    1.984_126_984_126_984e-4,
    1.388_888_888_888_889e-3,
    8.333_333_333_333_333e-3,
    4.166_666_666_666_666_4e-2,
    1.666_666_666_666_666_6e-1,
    0.5,
];
/// Beyond these, results are those of these: no subnormal numbers, no infinities.
const LOWEST: f64 = -708.0;
const HIGHEST: f64 = 709.0;

/// e^x with a relative error below 3e-16; |x| above 708 counts as 708, NaN as the lowest.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    // Comparisons this way round compile to one instruction each, and send NaN to the bound.
    let x = if x > LOWEST { x } else { LOWEST };
    let x = if x < HIGHEST { x } else { HIGHEST };
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let mut sum = SERIES[0];
    for coefficient in &SERIES[1..] {
        sum = sum * r + coefficient;
    }
    // 1 + r + r² (…): the largest terms last.
    let value = (sum * r * r + r) + 1.0;
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    value * power
}

/// Each number becomes its exponential.
pub(crate) fn exp_all(values: &mut [f64]) {
    for value in values {
        *value = exp(*value);
    }
}

/// Numbers that are summed side by side.
const LANES: usize = 8;

/// Σ a b, in an order that depends on the length alone.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// Σ a, likewise.
pub(crate) fn sum(a: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += chunk[lane];
        }
    }
    sums.iter().sum::<f64>() + rest.iter().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_any_length_are_those_of_one_after_the_other() {
        for n in 0..40 {
            // Small integers: exact in any order.
            let a: Vec<f64> = (0..n).map(|k| f64::from(k * 7 % 11)).collect();
            let b: Vec<f64> = (0..n).map(|k| f64::from(k * 5 % 13)).collect();
            let products: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert!((dot(&a, &b) - products).abs() < 0.5);
            assert!((sum(&a) - a.iter().sum::<f64>()).abs() < 0.5);
        }
    }

    #[test]
    fn exponentials_are_those_of_libm() {
        let mut worst = 0.0_f64;
        for k in 0..2_000_000 {
            // Dense around zero, out to the ends.
            let u = f64::from(k) / 1e6 - 1.0;
            for x in [u * 700.0, u * 30.0, u, u * u * u * 1e-3] {
                worst = worst.max((exp(x) / x.exp() - 1.0).abs());
            }
        }
        assert!(worst < 4.5e-16, "{worst:e}");
        assert_eq!(exp(0.0).to_bits(), 1_f64.to_bits());
        assert_eq!(exp(-1e300).to_bits(), exp(LOWEST).to_bits());
        assert_eq!(exp(f64::NAN).to_bits(), exp(LOWEST).to_bits());
        assert!(exp(1e300).is_finite() && exp(LOWEST) > 0.0);
    }

    #[test]
    fn a_list_is_what_its_numbers_are_alone() {
        for n in 0..40 {
            let values: Vec<f64> = (0..n).map(|k| f64::from(k) * 0.37 - 5.0).collect();
            let mut all = values.clone();
            exp_all(&mut all);
            assert_eq!(all, values.iter().map(|&x| exp(x)).collect::<Vec<_>>());
        }
    }
}
