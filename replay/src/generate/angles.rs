//! Azimuth in hardware codes: sines, the direction of a vector, differences.

use std::f64::consts::TAU;

use super::spectrum::CODES;
use crate::units::CALO_PHI_CODES;

/// Codes of calorimeter phi in a full turn.
pub(super) const TURN: i32 = CALO_PHI_CODES as i32;
/// Size of a component of a unit vector.
const UNIT: f64 = 16_384.0;
/// A vector of transverse momenta: in pT codes / 2^14.
pub(super) type Vector = [i64; 2];

/// Unit vectors, and the way back.
#[derive(Clone, Debug)]
pub(super) struct Angles {
    /// Of each code.
    units: Vec<[i32; 2]>,
    /// Of each code up to an eighth of a turn: tangent of the upper edge of the code, × 2^16.
    tangents: Vec<i64>,
    /// Of each tangent from 0 to 1, in steps of 2^-10: the code at its beginning. No two codes end in one step.
    guide: Vec<u8>,
    /// Of each pT code: its power 1.5.
    hardnesses: Vec<i64>,
}

impl Angles {
    pub(super) fn new() -> Angles {
        let units = (0..TURN).map(|code| {
            let (cos, sin) = cos_sin(f64::from(code) * TAU / f64::from(TURN));
            [(cos * UNIT).round() as i32, (sin * UNIT).round() as i32]
        });
        let tangent = |code: i32| {
            let (cos, sin) = cos_sin((f64::from(code) + 0.5) * TAU / f64::from(TURN));
            (sin / cos * 65_536.0).round() as i64
        };
        let tangents: Vec<i64> = (0..TURN / 8).map(tangent).collect();
        let code_of = |tangent: i64| tangents.iter().filter(|&&edge| edge <= tangent).count() as u8;
        let hardness = |code: usize| (code as f64 * (code as f64).sqrt()).round() as i64;
        Angles {
            units: units.collect(),
            guide: (0..=1 << 10).map(|step| code_of(step << 6)).collect(),
            tangents: tangents.into_iter().chain([i64::MAX]).collect(),
            hardnesses: (0..CODES).map(hardness).collect(),
        }
    }

    /// Adds an object to a vector.
    #[inline]
    pub(super) fn add(&self, sum: &mut Vector, pt: i64, phi: i16) {
        let [x, y] = self.units[phi as usize];
        sum[0] += pt * i64::from(x);
        sum[1] += pt * i64::from(y);
    }

    /// pT^1.5 of a jet.
    #[inline]
    pub(super) fn hardness(&self, pt: i16) -> i64 {
        self.hardnesses[pt as usize & (CODES - 1)]
    }

    /// The nearest code of a vector's direction; 0 if it has none.
    #[inline]
    pub(super) fn code(&self, [x, y]: Vector) -> i32 {
        let (across, along) = (x.abs().max(y.abs()), x.abs().min(y.abs()));
        let tangent = (along << 16) / across.max(1);
        let mut code = usize::from(self.guide[(tangent >> 6) as usize]);
        code += usize::from(tangent >= self.tangents[code]);
        let code = code as i32;
        let code = if x.abs() >= y.abs() { code } else { TURN / 4 - code };
        let code = if x >= 0 { code } else { TURN / 2 - code };
        let code = if y >= 0 { code } else { TURN - code };
        if code >= TURN { code - TURN } else { code }
    }
}

/// `code` within a turn of `turn` codes, where it is at most one turn off.
#[inline]
pub(super) fn wrapped(code: i32, turn: i32) -> i32 {
    if code < 0 {
        code + turn
    } else if code >= turn {
        code - turn
    } else {
        code
    }
}

/// Square of the length of a vector, in pT codes.
#[inline]
pub(super) fn square([x, y]: Vector) -> f64 {
    let (x, y) = (x as f64 / UNIT, y as f64 / UNIT);
    x * x + y * y
}

/// Cosine and sine of an angle within a turn, from their series.
fn cos_sin(angle: f64) -> (f64, f64) {
    let angle = if angle > TAU / 2.0 { angle - TAU } else { angle };
    let (mut cos, mut sin) = (0.0, 0.0);
    let mut term = 1.0;
    for k in 0..36 {
        match k % 4 {
            0 => cos += term,
            1 => sin += term,
            2 => cos -= term,
            _ => sin -= term,
        }
        term *= angle / f64::from(k + 1);
    }
    (cos, sin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_the_nearest_codes() {
        let angles = Angles::new();
        for i in 0..20_000 {
            let phi = f64::from(i) * 0.000_314_2;
            let [x, y] = [phi.cos() * 1e6, phi.sin() * 1e6];
            let exact = phi / TAU * f64::from(TURN);
            let code = angles.code([x as i64, y as i64]);
            let off = (exact - f64::from(code)).abs();
            assert!(off.min(f64::from(TURN) - off) < 0.501, "{phi} {code}");
        }
        assert_eq!(angles.code([0, 0]), 0);
        for code in 0..TURN {
            let mut sum = [0, 0];
            angles.add(&mut sum, 100, code as i16);
            assert_eq!(angles.code(sum), code);
            assert!((square(sum).sqrt() - 100.0).abs() < 0.01);
        }
        assert_eq!((wrapped(-3, TURN), wrapped(144, TURN), wrapped(7, TURN)), (141, 0, 7));
    }
}
