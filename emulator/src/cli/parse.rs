//! Values of options: numbers within bounds, durations, rates, ranges.

use std::ops::Range;
use std::time::Duration;

use scout40_replay::export::Target;
use scout40_replay::pacing::frequency_hz;
use scout40_replay::raw::objects::Payload;

/// A duration with its unit: `10s`, `500ms`, `12.8us`, `100ns`, `2min`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let expected =
        || format!("expected a duration such as `10s`, `5ms` or `12.8us`, found `{text}`");
    let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(split);
    let seconds_per_unit = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(expected()),
    };
    let number: f64 = number.trim().parse().map_err(|_| expected())?;
    let seconds = number * seconds_per_unit;
    // A year is longer than any run, and far below what a count of ps holds.
    if (0.0..=3.2e7).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(expected())
    }
}

/// A frequency above zero, in Hz.
pub fn frequency(text: &str) -> Result<f64, String> {
    let hz = frequency_hz(text)?;
    if hz > 0.0 { Ok(hz) } else { Err(format!("expected a frequency above zero, found `{text}`")) }
}

/// Rows `A..B`, `A..` or `..B`; the end is excluded.
pub fn rows(text: &str) -> Result<Range<u64>, String> {
    let expected = || format!("expected rows such as `0..800000`, found `{text}`");
    let (first, end) = text.split_once("..").ok_or_else(expected)?;
    let number = |text: &str, default: u64| match text.trim() {
        "" => Ok(default),
        digits => digits.replace('_', "").parse().map_err(|_| expected()),
    };
    let range = number(first, 0)?..number(end, u64::MAX)?;
    if range.start < range.end { Ok(range) } else { Err(expected()) }
}

/// A range of numbers `A..B`.
pub fn interval(text: &str) -> Result<(f64, f64), String> {
    let numbers = text.split_once("..").and_then(|(a, b)| {
        let (a, b): (f64, f64) = (a.trim().parse().ok()?, b.trim().parse().ok()?);
        (a < b && a.is_finite() && b.is_finite()).then_some((a, b))
    });
    numbers.ok_or_else(|| format!("expected a range such as `0..600`, found `{text}`"))
}

/// A number above zero.
pub fn positive(text: &str) -> Result<f64, String> {
    number(text, "a number above zero", |x| x > 0.0)
}

/// A fraction above 0, at most 1.
pub fn fraction(text: &str) -> Result<f64, String> {
    number(text, "a fraction above 0, at most 1", |x| x > 0.0 && x <= 1.0)
}

/// A fraction above 0 and below 1.
pub fn part(text: &str) -> Result<f64, String> {
    number(text, "a fraction between 0 and 1", |x| x > 0.0 && x < 1.0)
}

/// A number from `low` on.
pub fn at_least(low: f64) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync {
    move |text| number(text, &format!("a number of at least {low}"), |x| x >= low)
}

/// A number from `low` to `high`.
pub fn between(low: f64, high: f64) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync {
    move |text| number(text, &format!("a number from {low} to {high}"), |x| x >= low && x <= high)
}

/// Infinities and NaN are numbers to the standard library, but no values of any option.
fn number(text: &str, expected: &str, allowed: impl Fn(f64) -> bool) -> Result<f64, String> {
    let found = text.trim().parse().ok().filter(|x: &f64| x.is_finite() && allowed(*x));
    found.ok_or_else(|| format!("expected {expected}, found `{text}`"))
}

/// The name of a format that streams are written in.
pub fn target(text: &str) -> Result<Target, String> {
    one_of(text, Target::ALL.map(|target| (target.name(), target)))
}

/// The name of what the words of Phase-2 events are.
pub fn payload(text: &str) -> Result<Payload, String> {
    one_of(text, Payload::ALL.map(|payload| (payload.name(), payload)))
}

fn one_of<T: Copy, const N: usize>(text: &str, known: [(&str, T); N]) -> Result<T, String> {
    let found = known.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names = known.map(|(name, _)| name).join(", ");
        format!("expected one of {names}, found `{text}`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("12.8us"), Ok(Duration::from_nanos(12_800)));
        assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
        for bad in ["", "10", "s", "-1s", "nans", "1e99s", "5 fortnights"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rows_are_half_open_ranges() {
        assert_eq!(rows("0..800_000"), Ok(0..800_000));
        assert_eq!(rows("5.."), Ok(5..u64::MAX));
        assert_eq!(rows("..7"), Ok(0..7));
        for bad in ["", "5", "5..5", "7..5", "a..b", "-1..5"] {
            assert!(rows(bad).is_err(), "{bad}");
        }
        assert_eq!(frequency("1kHz"), Ok(1000.0));
        assert!(frequency("0Hz").is_err());
    }

    #[test]
    fn numbers_out_of_bounds_are_refused_with_the_bounds() {
        assert_eq!(
            (positive("1e-300"), fraction("1"), part("0.999")),
            (Ok(1e-300), Ok(1.0), Ok(0.999))
        );
        assert_eq!((at_least(1.0)("1"), between(-5.0, 5.0)("-5")), (Ok(1.0), Ok(-5.0)));
        for bad in ["0", "-1", "inf", "nan", "", "x", "1e999"] {
            assert!(positive(bad).unwrap_err().contains("above zero"), "{bad}");
            assert!(fraction(bad).unwrap_err().contains("at most 1"), "{bad}");
            assert!(part(bad).is_err() && at_least(1.0)(bad).is_err(), "{bad}");
        }
        assert!(fraction("1.01").is_err() && part("1").is_err());
        for bad in ["-5.1", "5.1", "nan", "inf"] {
            assert!(between(-5.0, 5.0)(bad).unwrap_err().contains("from -5 to 5"), "{bad}");
        }
    }

    #[test]
    fn intervals_have_two_ends() {
        assert_eq!(interval("0..600"), Ok((0.0, 600.0)));
        assert_eq!(interval("-3.5..2"), Ok((-3.5, 2.0)));
        for bad in ["", "5", "5..5", "6..5", "a..b", "0..inf", "nan..1"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
