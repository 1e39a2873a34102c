//! Medians with their intervals: what a benchmark prints.

use std::fmt;

/// How many samples the bootstrap draws.
const RESAMPLES: usize = 2000;

/// A median and the interval that holds it with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

pub fn median(values: &mut [f64]) -> f64 {
    assert!(!values.is_empty(), "a median of something");
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 {
        values[half]
    } else {
        (values[half - 1] + values[half]) / 2.0
    }
}

/// Bootstrap: medians of samples drawn from the values with replacement. The same values give the same interval.
pub fn estimate(values: &[f64]) -> Estimate {
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut draw = || {
        // splitmix64
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = seed;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        values[((z ^ z >> 31) % values.len() as u64) as usize]
    };
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| median(&mut values.iter().map(|_| draw()).collect::<Vec<_>>()))
        .collect();
    medians.sort_by(f64::total_cmp);
    Estimate {
        median: median(&mut values.to_vec()),
        low: medians[RESAMPLES * 25 / 1000],
        high: medians[RESAMPLES * 975 / 1000 - 1],
    }
}

/// The ratios within each round.
pub fn ratio(above: &[f64], below: &[f64]) -> Estimate {
    let ratios: Vec<f64> = above.iter().zip(below).map(|(a, b)| a / b).collect();
    estimate(&ratios)
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} [{:.2}, {:.2}]", self.median, self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_surrounds_the_median_and_repeats() {
        let values: Vec<f64> = (0..21).map(|i| 1.0 + f64::from((i * 8) % 21)).collect();
        let first = estimate(&values);
        assert_eq!(first.median, 11.0);
        assert!(first.low < 11.0 && 11.0 < first.high, "{first:?}");
        assert!(first.low >= 4.0 && first.high <= 18.0, "{first:?}");
        assert_eq!(first, estimate(&values));
    }

    #[test]
    fn equal_values_leave_no_doubt() {
        let e = estimate(&[2.0; 5]);
        assert_eq!((e.low, e.median, e.high), (2.0, 2.0, 2.0));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine was three times slower in the second round, for both.
        let e = ratio(&[2.0, 6.0, 2.0], &[1.0, 3.0, 1.0]);
        assert_eq!((e.low, e.median, e.high), (2.0, 2.0, 2.0));
    }
}
