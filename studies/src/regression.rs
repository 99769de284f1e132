//! Straight lines and parabolas through points, by weighted least squares.
//!
//! The curve is a sum of polynomials that are orthogonal on the points themselves, so there is no
//! matrix to invert, coefficients are independent of each other, and a parabola is a straight line and one more
//! term. Errors come from the scatter of the points about the curve: weights are relative, and the
//! scatter of a point is σ²/weight, with σ² estimated.
//!
//! **Source**: G. Forsythe, J. SIAM 5 (1957) 74 for the polynomials; N. Draper, H. Smith, "Applied
//! regression analysis" (1998), chapters 3 and 9 for the intervals.

use statrs::distribution::{Continuous, ContinuousCDF, StudentsT};

use crate::error::{Error, check};
use crate::rate::Interval;
use crate::weights::check_weights;

/// A point with its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Where.
    pub x: f64,
    /// How much.
    pub y: f64,
    /// How well it is known: inverse variance, up to a common factor.
    pub weight: f64,
}

/// A polynomial that was fitted to points.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// One per degree, from the constant on.
    terms: Vec<Term>,
    /// Estimate of σ², the variance of a point of weight one.
    scale: f64,
    /// Points less coefficients.
    degrees_of_freedom: f64,
    /// Fraction of the weighted variance that the curve explains.
    r_squared: f64,
}

/// An orthogonal polynomial Pₖ = (x − shift) Pₖ₋₁ − back Pₖ₋₂ and its coefficient.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Term {
    shift: f64,
    back: f64,
    /// Σ w Pₖ² over the points.
    norm: f64,
    coefficient: f64,
}

/// The curve at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The curve, with the confidence interval of the curve.
    pub curve: Interval,
    /// The same with the interval for one further point of the weight that was asked for.
    pub point: Interval,
}

/// Fits a polynomial of degree 1 or 2. Points that weigh nothing do not count.
///
/// # Errors
/// Another degree, numbers that are not finite, weights that are negative, and fewer points at
/// different x than coefficients and one more.
pub fn fit(points: &[Point], degree: usize) -> Result<Fit, Error> {
    check((1..=2).contains(&degree), "degree", "1 or 2", degree as f64)?;
    check_weights(points.len(), &points.iter().map(|point| point.weight).collect::<Vec<_>>())?;
    for point in points {
        check(point.x.is_finite(), "x of a point", "a finite number", point.x)?;
        check(point.y.is_finite(), "y of a point", "a finite number", point.y)?;
    }
    let points: Vec<Point> = points.iter().filter(|point| point.weight > 0.0).copied().collect();
    let mut xs: Vec<f64> = points.iter().map(|point| point.x).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let needed = degree + 2;
    if xs.len() <= degree || points.len() < needed {
        return Err(Error::TooFewPoints { degree, needed, found: xs.len(), what: "x" });
    }
    let sum = |f: &dyn Fn(&Point) -> f64| points.iter().map(|p| p.weight * f(p)).sum::<f64>();
    let mut terms: Vec<Term> = Vec::new();
    for k in 0..=degree {
        let (mut shift, mut back) = (0.0, 0.0);
        if k > 0 {
            let last = |x: f64| value_of(&terms, x)[k - 1];
            shift = sum(&|p| p.x * last(p.x).powi(2)) / terms[k - 1].norm;
            back = if k > 1 { terms[k - 1].norm / terms[k - 2].norm } else { 0.0 };
        }
        terms.push(Term { shift, back, norm: 1.0, coefficient: 0.0 });
        let this = |x: f64| value_of(&terms, x)[k];
        let norm = sum(&|p| this(p.x).powi(2));
        // Of what the lower terms left: the same sum, with smaller numbers.
        let coefficient = sum(&|p| this(p.x) * (p.y - curve_of(&terms, p.x))) / norm;
        terms[k] = Term { shift, back, norm, coefficient };
    }
    let residual = sum(&|p| (p.y - curve_of(&terms, p.x)).powi(2));
    let about_mean = sum(&|p| (p.y - terms[0].coefficient).powi(2));
    let degrees_of_freedom = (points.len() - degree - 1) as f64;
    Ok(Fit {
        terms,
        scale: residual / degrees_of_freedom,
        degrees_of_freedom,
        r_squared: if about_mean > 0.0 { 1.0 - residual / about_mean } else { 1.0 },
    })
}

/// The polynomials at x.
fn value_of(terms: &[Term], x: f64) -> Vec<f64> {
    let mut values: Vec<f64> = Vec::with_capacity(terms.len());
    for (k, term) in terms.iter().enumerate() {
        values.push(match k {
            0 => 1.0,
            1 => x - term.shift,
            _ => (x - term.shift) * values[k - 1] - term.back * values[k - 2],
        });
    }
    values
}

fn curve_of(terms: &[Term], x: f64) -> f64 {
    value_of(terms, x).iter().zip(terms).map(|(value, term)| term.coefficient * value).sum()
}

impl Fit {
    /// Coefficients of 1, x, x² with their standard errors.
    #[must_use]
    pub fn coefficients(&self) -> Vec<(f64, f64)> {
        let n = self.terms.len();
        // Pₖ in powers of x.
        let mut powers = vec![vec![0.0; n]; n];
        powers[0][0] = 1.0;
        for k in 1..n {
            let term = self.terms[k];
            for j in 0..n {
                let raised = if j > 0 { powers[k - 1][j - 1] } else { 0.0 };
                let before = if k > 1 { powers[k - 2][j] } else { 0.0 };
                powers[k][j] = raised - term.shift * powers[k - 1][j] - term.back * before;
            }
        }
        let coefficient = |j: usize| {
            let terms = || self.terms.iter().zip(&powers);
            let value = terms().map(|(term, power)| term.coefficient * power[j]).sum();
            let variance: f64 = terms().map(|(term, power)| power[j].powi(2) / term.norm).sum();
            (value, (self.scale * variance).sqrt())
        };
        (0..n).map(coefficient).collect()
    }

    /// The probability of a highest coefficient as far from zero as this one, either way, if it
    /// truly were zero (Student's t): whether a parabola is more than a straight line.
    #[must_use]
    pub fn p_value_of_highest(&self) -> f64 {
        let Some(highest) = self.terms.last() else {
            return 1.0;
        };
        let t = highest.coefficient / (self.scale / highest.norm).sqrt();
        // Points on a line have no scatter: anything but zero is then certain.
        if t.is_nan() { 1.0 } else { 2.0 * self.student().sf(t.abs()) }
    }

    /// Estimate of σ², the variance of a point of weight one.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Fraction of the weighted variance that the curve explains.
    #[must_use]
    pub fn r_squared(&self) -> f64 {
        self.r_squared
    }

    /// Points less coefficients.
    #[must_use]
    pub fn degrees_of_freedom(&self) -> f64 {
        self.degrees_of_freedom
    }

    /// The curve at x, with central intervals at `confidence` for the curve and for a further
    /// point of this weight.
    ///
    /// # Errors
    /// A confidence that is not between 0 and 1, and a weight that is not above zero.
    pub fn predict(&self, x: f64, weight: f64, confidence: f64) -> Result<Prediction, Error> {
        let within = confidence > 0.0 && confidence < 1.0;
        check(within, "confidence", "a fraction between 0 and 1", confidence)?;
        check(weight > 0.0, "weight of a point", "a number above zero", weight)?;
        let values = value_of(&self.terms, x);
        let of_curve = |(value, term): (&f64, &Term)| value * value / term.norm;
        let variance: f64 = values.iter().zip(&self.terms).map(of_curve).sum();
        let student = self.student();
        let p = f64::midpoint(1.0, confidence);
        // The library's quantile is good to about 1e-10: Newton steps do the rest.
        let newton = |t: f64, _| t - (student.cdf(t) - p) / student.pdf(t);
        let t = (0..3).fold(student.inverse_cdf(p), newton);
        let value = curve_of(&self.terms, x);
        let interval = |variance: f64| {
            let half = t * (self.scale * variance).sqrt();
            Interval { value, low: value - half, high: value + half }
        };
        Ok(Prediction { curve: interval(variance), point: interval(variance + 1.0 / weight) })
    }

    fn student(&self) -> StudentsT {
        StudentsT::new(0.0, 1.0, self.degrees_of_freedom).expect("at least one degree of freedom")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(y: impl Fn(f64) -> f64) -> Vec<Point> {
        (0..9).map(f64::from).map(|x| Point { x, y: y(x), weight: 1.0 + x % 3.0 }).collect()
    }

    #[test]
    fn points_on_a_curve_give_that_curve() {
        let fitted = fit(&points(|x| 2.0 - 3.0 * x + 0.25 * x * x), 2).unwrap();
        for ((value, error), expected) in fitted.coefficients().into_iter().zip([2.0, -3.0, 0.25]) {
            assert!((value - expected).abs() < 1e-12 && error < 1e-12, "{value} {error}");
        }
        let at = fitted.predict(20.0, 1.0, 0.9).unwrap();
        assert!((at.curve.value - 42.0).abs() < 1e-10 && at.point.high - at.point.low < 1e-10);
        assert!((fitted.r_squared() - 1.0).abs() < 1e-14);
        assert!(fitted.p_value_of_highest() < 1e-12);
    }

    #[test]
    fn a_constant_is_fitted_by_a_line_without_slope() {
        let fitted = fit(&points(|_| 5.0), 1).unwrap();
        assert_eq!(fitted.coefficients()[1].0.to_bits(), 0.0_f64.to_bits());
        assert!((fitted.p_value_of_highest() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn what_determines_no_curve_is_refused() {
        let mut points = points(|x| x);
        assert!(fit(&points, 0).is_err() && fit(&points, 3).is_err());
        assert!(matches!(fit(&points[..3], 2), Err(Error::TooFewPoints { needed: 4, .. })));
        let same: Vec<Point> = points.iter().map(|p| Point { x: 1.0, ..*p }).collect();
        assert!(matches!(fit(&same, 1), Err(Error::TooFewPoints { found: 1, .. })));
        points[3].weight = -1.0;
        assert!(matches!(fit(&points, 1), Err(Error::Weight { index: 3, .. })));
        points[3] = Point { x: f64::NAN, y: 0.0, weight: 1.0 };
        assert!(matches!(fit(&points, 1), Err(Error::Setting { .. })));
        let fitted = fit(&points[4..], 1).unwrap();
        assert!(fitted.predict(0.0, 1.0, 1.0).is_err() && fitted.predict(0.0, 0.0, 0.5).is_err());
    }
}
