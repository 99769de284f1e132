//! Axes: label, unit, scale, range and ticks.

use super::text;

/// An axis of a figure.
#[derive(Clone, Debug)]
pub struct Axis {
    label: String,
    unit: String,
    pub(super) log: bool,
    pub(super) range: Option<(f64, f64)>,
}

impl Axis {
    /// An axis on which equal distances are equal differences.
    #[must_use]
    pub fn linear(label: &str) -> Axis {
        Axis { label: label.to_owned(), unit: String::new(), log: false, range: None }
    }

    /// An axis on which equal distances are equal ratios. It shows positive values only.
    #[must_use]
    pub fn log(label: &str) -> Axis {
        Axis { log: true, ..Axis::linear(label) }
    }

    /// The unit of the values, shown behind the label.
    #[must_use]
    pub fn unit(mut self, unit: &str) -> Axis {
        unit.clone_into(&mut self.unit);
        self
    }

    /// The range to show; from the data if this is not called.
    #[must_use]
    pub fn range(mut self, min: f64, max: f64) -> Axis {
        self.range = Some((min, max));
        self
    }

    /// Label and unit as they are written.
    pub(super) fn title(&self) -> String {
        if self.unit.is_empty() {
            self.label.clone()
        } else {
            format!("{} [{}]", self.label, self.unit)
        }
    }

    /// Whether the axis can show a value.
    pub(super) fn shows(&self, value: f64) -> bool {
        value.is_finite() && (!self.log || value > 0.0)
    }

    /// The range that shows all of these values; `None` if there is none.
    pub(super) fn range_of(&self, values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
        if self.range.is_some() {
            return self.range;
        }
        let mut range: Option<(f64, f64)> = None;
        for value in values.filter(|&value| self.shows(value)) {
            let (min, max) = range.unwrap_or((value, value));
            range = Some((min.min(value), max.max(value)));
        }
        range.map(|(min, max)| if max > min { (min, max) } else { self.around(min) })
    }

    /// A range around a value that all points have.
    fn around(&self, value: f64) -> (f64, f64) {
        let width = if value == 0.0 { 1.0 } else { value.abs() / 2.0 };
        if self.log { (value / 3.0, value * 3.0) } else { (value - width, value + width) }
    }
}

/// An axis whose range is known: where a value lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) log: bool,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// A tick.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    /// Empty for a minor one.
    pub(super) label: String,
}

impl Scale {
    /// Where a value lies: 0 at the lower, 1 at the upper end.
    pub(super) fn fraction(&self, value: f64) -> f64 {
        let of = |x: f64| if self.log { x.log10() } else { x };
        (of(value) - of(self.min)) / (of(self.max) - of(self.min))
    }

    /// The value at a fraction of the range.
    pub(super) fn value(&self, fraction: f64) -> f64 {
        if self.log {
            let (min, max) = (self.min.log10(), self.max.log10());
            10f64.powf(min + fraction * (max - min))
        } else {
            self.min + fraction * (self.max - self.min)
        }
    }

    /// The same with room beyond the ends, as fractions of the range.
    pub(super) fn extended(&self, below: f64, above: f64) -> Scale {
        // Numbers end somewhere, and so does a range.
        let lowest = if self.log { f64::MIN_POSITIVE } else { f64::MIN };
        let min = self.value(-below).max(lowest).min(self.min);
        let max = self.value(1.0 + above).min(f64::MAX).max(self.max);
        Scale { min, max, ..*self }
    }

    /// Ticks for an axis of this many pixels, of which labels take `size` across or their width
    /// along it.
    pub(super) fn ticks(&self, length: f64, size: f64, along: bool) -> Vec<Tick> {
        let room = |label: &str| {
            if along { text::width(label, size) + 1.2 * size } else { 1.9 * size }
        };
        let fits = |ticks: &[Tick]| {
            let labelled: Vec<&Tick> = ticks.iter().filter(|t| !t.label.is_empty()).collect();
            labelled.windows(2).all(|pair| {
                let apart = (self.fraction(pair[1].value) - self.fraction(pair[0].value)) * length;
                apart >= (room(&pair[0].label) + room(&pair[1].label)) / 2.0
            })
        };
        let candidates = if self.log { self.log_ticks() } else { self.linear_ticks() };
        let last = candidates.len().saturating_sub(1);
        let chosen = candidates.iter().position(|ticks| fits(ticks)).unwrap_or(last);
        candidates.into_iter().nth(chosen).unwrap_or_default()
    }

    /// Ticks of different density, densest first.
    fn linear_ticks(&self) -> Vec<Vec<Tick>> {
        let span = self.max - self.min;
        let decade = 10f64.powf(span.log10().floor());
        // Step, and into how many minor ones it is divided.
        let steps = [(0.1, 5), (0.2, 4), (0.5, 5), (1.0, 5), (2.0, 4), (5.0, 5), (10.0, 5)];
        let candidate = |&(step, parts): &(f64, i64)| {
            let step = step * decade;
            let minor = step / parts as f64;
            let label = label_of(step, self.min.abs().max(self.max.abs()));
            let first = (self.min / minor - 1e-6).ceil() as i64;
            let last = (self.max / minor + 1e-6).floor() as i64;
            let tick = |k: i64| Tick {
                value: k as f64 * minor,
                label: if k % parts == 0 {
                    label((k / parts) as f64 * step)
                } else {
                    String::new()
                },
            };
            (first..=last).map(tick).collect()
        };
        // More than a dozen numbers are no easier to read than six.
        steps.iter().filter(|(step, _)| span / (step * decade) < 9.0).map(candidate).collect()
    }

    /// The same for powers of ten.
    fn log_ticks(&self) -> Vec<Vec<Tick>> {
        let (first, last) = (self.min.log10().floor() as i32, self.max.log10().ceil() as i32);
        let inside = |value: f64| (-1e-9..1.0 + 1e-9).contains(&self.fraction(value));
        let decades = (first..=last).filter(|&k| inside(10f64.powi(k))).count();
        let plain = first >= -3 && last <= 4;
        let label = |digit: i32, k: i32| {
            if plain {
                number(f64::from(digit) * 10f64.powi(k), (-k).max(0) as usize)
            } else {
                power(digit, k)
            }
        };
        let candidate = |(labelled, every): (&[i32], i32)| {
            let digits = (first..=last).flat_map(|k| (1..10).map(move |digit| (digit, k)));
            let ticks = digits.map(|(digit, k)| Tick {
                value: f64::from(digit) * 10f64.powi(k),
                label: if labelled.contains(&digit) && k.rem_euclid(every) == 0 {
                    label(digit, k)
                } else {
                    String::new()
                },
            });
            // Beyond a dozen decades, only these.
            let kept = ticks.filter(|t| inside(t.value) && (every < 3 || !t.label.is_empty()));
            kept.collect()
        };
        let few: [(&[i32], i32); 3] = [(&[1, 2, 3, 4, 6, 8], 1), (&[1, 2, 5], 1), (&[1, 3], 1)];
        let many: [(&[i32], i32); 5] = [(&[1], 1), (&[1], 2), (&[1], 3), (&[1], 5), (&[1], 10)];
        let few = few.into_iter().skip(decades.saturating_sub(1)).filter(|_| decades < 3);
        few.chain(many).map(candidate).collect()
    }
}

/// How to write multiples of a step up to the largest value: as decimals, or with a power of ten.
fn label_of(step: f64, largest: f64) -> impl Fn(f64) -> String {
    let decimals_of = |step: f64| (-(step * 1.000_001).log10().floor()).max(0.0) as usize;
    let exponent = (largest * 1.000_001).log10().floor() as i32;
    let plain = (-3..6).contains(&exponent);
    let unit = if plain { 1.0 } else { 10f64.powi(exponent) };
    let decimals = decimals_of(step / unit);
    move |value| {
        let number = number(value / unit, decimals);
        if plain || value == 0.0 { number } else { format!("{number}×{}", power(1, exponent)) }
    }
}

/// A number with this many decimals, a true minus sign and thin spaces between thousands.
fn number(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (k, digit) in whole.chars().enumerate() {
        if k > 0 && (whole.len() - k) % 3 == 0 && whole.len() > 4 {
            grouped.push('\u{2009}');
        }
        grouped.push(digit);
    }
    let sign =
        if value < 0.0 && text.contains(|c: char| ('1'..='9').contains(&c)) { "−" } else { "" };
    if fraction.is_empty() {
        format!("{sign}{grouped}")
    } else {
        format!("{sign}{grouped}.{fraction}")
    }
}

fn power(digit: i32, exponent: i32) -> String {
    let sign = if exponent < 0 { "−" } else { "" };
    let power = match exponent {
        0 => "1".to_owned(),
        1 => "10".to_owned(),
        k => format!("10^{{{sign}{}}}", k.abs()),
    };
    match (digit, exponent) {
        (1, _) => power,
        (digit, 0) => digit.to_string(),
        (digit, _) => format!("{digit}×{power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(log: bool, min: f64, max: f64, length: f64) -> Vec<String> {
        let ticks = Scale { log, min, max }.ticks(length, 20.0, true);
        ticks.into_iter().map(|tick| tick.label).filter(|label| !label.is_empty()).collect()
    }

    #[test]
    fn ticks_are_round_numbers_that_fit() {
        assert_eq!(labels(false, 0.0, 1.0, 700.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(false, -3.0, 11.0, 300.0), ["0", "5", "10"]);
        assert_eq!(labels(false, -3.0, 3.0, 500.0), ["−3", "−2", "−1", "0", "1", "2", "3"]);
        assert_eq!(labels(false, 0.0, 40_000.0, 500.0)[1], "10\u{2009}000");
        let small = ["1.2×10^{−4}", "1.4×10^{−4}", "1.6×10^{−4}", "1.8×10^{−4}"];
        assert_eq!(labels(false, 0.00012, 0.00019, 600.0), small);
        assert_eq!(labels(false, 0.0, 3e6, 500.0)[1], "1×10^{6}");
    }

    #[test]
    fn ticks_of_a_log_axis_are_decades_with_minor_ones_between() {
        assert_eq!(
            labels(true, 1e-5, 1.0, 700.0).join(" "),
            "10^{−5} 10^{−4} 10^{−3} 10^{−2} 10^{−1} 1"
        );
        assert_eq!(labels(true, 0.5, 200.0, 700.0), ["1", "10", "100"]);
        assert_eq!(labels(true, 1.0, 8.0, 700.0), ["1", "2", "3", "4", "6", "8"]);
        assert_eq!(labels(true, 2e4, 7e4, 700.0), ["2×10^{4}", "3×10^{4}", "4×10^{4}", "6×10^{4}"]);
        let minor = Scale { log: true, min: 1.0, max: 100.0 }.ticks(500.0, 20.0, true);
        assert_eq!(minor.len(), 19);
        assert_eq!(labels(true, 1e-30, 1.0, 500.0).len(), 7);
    }

    #[test]
    fn a_value_lies_where_its_scale_says() {
        let log = Scale { log: true, min: 1e-4, max: 1.0 };
        assert!((log.fraction(1e-3) - 0.25).abs() < 1e-12 && (log.value(0.5) - 1e-2).abs() < 1e-12);
        let roomier = Scale { log: false, min: 0.0, max: 2.0 }.extended(0.5, 0.25);
        assert!((roomier.min + 1.0).abs() < 1e-12 && (roomier.max - 2.5).abs() < 1e-12);
        for (log, min, max) in
            [(true, 1e-320, 1e308), (false, -8e307, 9e307), (false, 1.0, 1.0 + 1e-15)]
        {
            let widest = Scale { log, min, max }.extended(0.5, 0.5);
            assert!(widest.min <= min && widest.max >= max && widest.max.is_finite());
            assert!(widest.ticks(500.0, 20.0, true).len() < 1000);
        }
    }
}
