//! Hardware integers and physical quantities: one function per quantity and direction.
//!
//! Conversions read right to left (`gev_from_hw`). Every least significant bit cites where it is
//! defined. Where public sources disagree, one choice is made here and nowhere else:
//!
//! | quantity | choice | the others |
//! |---|---|---|
//! | calorimeter phi | 2π/144, the scale of the hardware | CMSSW's scouting conversion rounds it to 0.0435, at most 0.019 rad away: [`calo_phi_rad_as_cmssw`] |
//! | muon pT | 0.5 · (code − 1) GeV; code 0 is no muon | without the offset, in texts on calorimeter objects |
//! | unconstrained muon pT | 1.0 · (code − 1) GeV, as CMSSW's scouting | the offline translator has 0.5 |
//! | crossing | 1 to 3564, as CMSSW and Run-3 scouting | Phase-2 words count from 0: [`bx_from_native`] |
//! | muon phi | 2π/576 | the offline translator rounds it to 0.010908 |
//!
//! Encoding rounds to the nearest code and clamps to the field. Real Level-1 hardware floors in
//! places; events that come as hardware integers never pass through here.

use std::f64::consts::TAU;

use crate::lhc::Bx;

/// pT and sums of every Level-1 object, GeV per code.
/// Source: CMSSW `L1TriggerScouting/Utilities/interface/scales.h`.
pub const PT_LSB_GEV: f64 = 0.5;
/// Calorimeter eta per code. Source: as [`PT_LSB_GEV`].
pub const CALO_ETA_LSB: f64 = 0.0435;
/// Codes of calorimeter phi in a full turn. Source: uGT hardware scale.
pub const CALO_PHI_CODES: i64 = 144;
/// Calorimeter phi per code as CMSSW's scouting and `CaloTools` have it, rad.
/// Source: CMSSW `L1TriggerScouting/Utilities/interface/scales.h`.
pub const CALO_PHI_LSB_CMSSW_RAD: f64 = 0.0435;
/// Muon eta per code: 0.0870 / 8. Source: as [`PT_LSB_GEV`].
pub const MUON_ETA_LSB: f64 = 0.010_875;
/// Codes of muon phi in a full turn. Source: as [`PT_LSB_GEV`].
pub const MUON_PHI_CODES: i64 = 576;
/// Unconstrained muon pT, GeV per code, offset 1 like the constrained one.
/// Source: CMSSW scouting (`conversion.h`); the offline translator uses 0.5.
pub const MUON_PT_UNCONSTRAINED_LSB_GEV: f64 = 1.0;
/// The same as the offline translator has it, and hence central NanoAOD in its physical values.
/// Source: CMSSW `L1Trigger/L1TMuon/src/MuonRawDigiTranslator.cc`.
pub const MUON_PT_UNCONSTRAINED_OFFLINE_LSB_GEV: f64 = 0.5;

/// Puppi pT, GeV per code. Source of this and what follows: the unpacker of the public Phase-2
/// scouting clients.
pub const PUPPI_PT_LSB_GEV: f64 = 0.25;
/// Puppi eta and phi per code.
pub const PUPPI_ANGLE_LSB: f64 = std::f64::consts::PI / 720.0;
/// Longitudinal position of Puppi candidates and track muons, cm per code.
pub const PHASE2_Z0_LSB_CM: f64 = 0.05;
/// Impact parameter of Puppi candidates, cm per code; its source calls the number a placeholder.
pub const PUPPI_DXY_LSB_CM: f64 = 0.05;
/// Weight of neutral Puppi candidates per code.
pub const PUPPI_WEIGHT_LSB: f64 = 1.0 / 256.0;
/// Track muon pT, GeV per code, without offset.
pub const TRACK_MUON_PT_LSB_GEV: f64 = 0.03125;
/// Track muon eta and phi per code.
pub const TRACK_MUON_ANGLE_LSB: f64 = std::f64::consts::PI / 4096.0;
/// Impact parameter of track muons, cm per code.
pub const TRACK_MUON_D0_LSB_CM: f64 = 0.03;
/// Velocity of track muons per code, in units of that of light.
pub const TRACK_MUON_BETA_LSB: f64 = 0.06;

/// Largest code of a muon's unconstrained pT.
pub const MUON_PT_UNCONSTRAINED_MAX: i64 = 255;
/// Largest muon pT code.
pub const MUON_PT_MAX: i64 = 511;
/// Largest e/gamma and tau pT code.
pub const EGAMMA_PT_MAX: i64 = 511;
/// Largest jet pT code.
pub const JET_PT_MAX: i64 = 2047;
/// Largest energy-sum code.
pub const SUM_PT_MAX: i64 = 4095;

/// pT in GeV of a calorimeter object or an energy sum.
#[must_use]
pub fn calo_pt_gev_from_hw(hw: i16) -> f64 {
    PT_LSB_GEV * f64::from(hw)
}

/// pT in GeV of a muon: code 0 means no muon, code 1 is 0 GeV.
#[must_use]
pub fn muon_pt_gev_from_hw(hw: i16) -> f64 {
    PT_LSB_GEV * (f64::from(hw) - 1.0).max(0.0)
}

/// Unconstrained pT in GeV of a muon.
#[must_use]
pub fn muon_pt_unconstrained_gev_from_hw(hw: i16) -> f64 {
    MUON_PT_UNCONSTRAINED_LSB_GEV * (f64::from(hw) - 1.0).max(0.0)
}

/// Pseudorapidity of a calorimeter object.
#[must_use]
pub fn calo_eta_from_hw(hw: i16) -> f64 {
    CALO_ETA_LSB * f64::from(hw)
}

/// Pseudorapidity of a muon.
#[must_use]
pub fn muon_eta_from_hw(hw: i16) -> f64 {
    MUON_ETA_LSB * f64::from(hw)
}

/// Azimuth in rad, in [−π, π), of a calorimeter object or an energy sum.
#[must_use]
pub fn calo_phi_rad_from_hw(hw: i16) -> f64 {
    wrapped(TAU / CALO_PHI_CODES as f64 * f64::from(hw))
}

/// The same as CMSSW's scouting gives it: to compare with its output, number by number.
#[must_use]
pub fn calo_phi_rad_as_cmssw(hw: i16) -> f64 {
    wrapped(CALO_PHI_LSB_CMSSW_RAD * f64::from(hw))
}

/// Azimuth in rad, in [−π, π), of a muon.
#[must_use]
pub fn muon_phi_rad_from_hw(hw: i16) -> f64 {
    wrapped(TAU / MUON_PHI_CODES as f64 * f64::from(hw))
}

fn wrapped(phi: f64) -> f64 {
    if phi >= TAU / 2.0 { phi - TAU } else { phi }
}

/// Code of a calorimeter object's pT: nearest, clamped to 1..=`max`.
#[must_use]
pub fn calo_hw_from_pt_gev(pt_gev: f64, max: i64) -> i16 {
    clamp_code(pt_gev / PT_LSB_GEV, 1, max)
}

/// Code of an energy sum: nearest, clamped to 0..=4095.
#[must_use]
pub fn sum_hw_from_pt_gev(pt_gev: f64) -> i16 {
    clamp_code(pt_gev / PT_LSB_GEV, 0, SUM_PT_MAX)
}

/// Code of a muon's pT, with its offset of one: nearest, clamped to 1..=511.
#[must_use]
pub fn muon_hw_from_pt_gev(pt_gev: f64) -> i16 {
    clamp_code(pt_gev / PT_LSB_GEV + 1.0, 1, MUON_PT_MAX)
}

/// Code of a muon's unconstrained pT that was made with this least significant bit: nearest, with
/// its offset of one, clamped to 0..=255.
#[must_use]
pub fn muon_hw_from_pt_unconstrained_gev(pt_gev: f64, lsb_gev: f64) -> i16 {
    clamp_code(pt_gev / lsb_gev + 1.0, 0, MUON_PT_UNCONSTRAINED_MAX)
}

/// Code of a calorimeter eta: nearest, clamped to a signed byte.
#[must_use]
pub fn calo_hw_from_eta(eta: f64) -> i16 {
    clamp_code(eta / CALO_ETA_LSB, -128, 127)
}

/// Code of a muon eta: nearest, clamped to ±255.
#[must_use]
pub fn muon_hw_from_eta(eta: f64) -> i16 {
    clamp_code(eta / MUON_ETA_LSB, -255, 255)
}

/// Code of a calorimeter or sum azimuth, any turn: nearest, 0..=143.
#[must_use]
pub fn calo_hw_from_phi_rad(phi_rad: f64) -> i16 {
    phi_code(phi_rad, CALO_PHI_CODES)
}

/// Code of an azimuth within [−π, π) that CMSSW's scouting made of it: what
/// [`calo_phi_rad_as_cmssw`] came from.
#[must_use]
pub fn calo_hw_from_phi_rad_as_cmssw(phi_rad: f64) -> i16 {
    let phi_rad = if phi_rad < 0.0 { phi_rad + TAU } else { phi_rad };
    clamp_code(phi_rad / CALO_PHI_LSB_CMSSW_RAD, 0, CALO_PHI_CODES - 1)
}

/// Code of a muon azimuth, any turn: nearest, 0..=575.
#[must_use]
pub fn muon_hw_from_phi_rad(phi_rad: f64) -> i16 {
    phi_code(phi_rad, MUON_PHI_CODES)
}

/// Crossing of a Native64 header, which counts from 0 to 3563; `None` beyond that.
/// Source: Phase-2 scouting; Run-3 scouting and everything here count from 1 to 3564.
#[must_use]
pub fn bx_from_native(native: u16) -> Option<Bx> {
    Bx::new(u32::from(native) + 1)
}

/// Crossing as a Native64 header counts them: 0 to 3563.
#[must_use]
pub fn native_from_bx(bx: Bx) -> u16 {
    bx.get() - 1
}

fn clamp_code(code: f64, min: i64, max: i64) -> i16 {
    code.round().clamp(min as f64, max as f64) as i16
}

fn phi_code(phi_rad: f64, codes: i64) -> i16 {
    let code = (phi_rad.rem_euclid(TAU) / (TAU / codes as f64)).round() as i64;
    (code % codes) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_to_physical_units_and_back() {
        for hw in 0..CALO_PHI_CODES as i16 {
            assert_eq!(calo_hw_from_phi_rad(calo_phi_rad_from_hw(hw)), hw);
        }
        for hw in 0..MUON_PHI_CODES as i16 {
            assert_eq!(muon_hw_from_phi_rad(muon_phi_rad_from_hw(hw)), hw);
        }
        for hw in -128..=127 {
            assert_eq!(calo_hw_from_eta(calo_eta_from_hw(hw)), hw);
        }
        for hw in -255..=255 {
            assert_eq!(muon_hw_from_eta(muon_eta_from_hw(hw)), hw);
        }
        for hw in 1..=MUON_PT_MAX as i16 {
            assert_eq!(muon_hw_from_pt_gev(muon_pt_gev_from_hw(hw)), hw);
        }
        for hw in 1..=JET_PT_MAX as i16 {
            assert_eq!(calo_hw_from_pt_gev(calo_pt_gev_from_hw(hw), JET_PT_MAX), hw);
        }
        for hw in 0..=SUM_PT_MAX as i16 {
            assert_eq!(sum_hw_from_pt_gev(calo_pt_gev_from_hw(hw)), hw);
        }
    }

    #[test]
    fn codes_of_calorimeter_phi_survive_the_conversion_of_cmssw() {
        // 0.0435 rad per code, as floats of which NanoAOD keeps 8 bits of the mantissa.
        for hw in 0..CALO_PHI_CODES as i16 {
            let phi = wrapped(0.0435 * f64::from(hw)) as f32;
            let kept = f32::from_bits((phi.to_bits() + (1 << 14)) & !((1 << 15) - 1));
            assert_eq!(calo_hw_from_phi_rad(f64::from(kept)), hw);
        }
    }

    #[test]
    fn phi_just_below_a_full_turn_is_code_zero() {
        assert_eq!(calo_hw_from_phi_rad(TAU - 1e-9), 0);
        assert_eq!(muon_hw_from_phi_rad(-1e-9), 0);
    }

    #[test]
    fn values_beyond_the_field_saturate() {
        assert_eq!(muon_hw_from_pt_gev(300.0), 511);
        assert_eq!(calo_hw_from_pt_gev(2000.0, JET_PT_MAX), 2047);
        assert_eq!(calo_hw_from_pt_gev(0.1, JET_PT_MAX), 1, "an object that exists is never zero");
        assert_eq!(sum_hw_from_pt_gev(5000.0), 4095);
        assert_eq!(calo_hw_from_eta(9.0), 127);
    }

    #[test]
    fn where_sources_disagree_the_choice_is_this_one() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} and {b}");
        near(calo_phi_rad_from_hw(36), TAU / 4.0);
        near(muon_pt_gev_from_hw(1), 0.0);
        near(muon_pt_gev_from_hw(511), 255.0);
        near(muon_pt_unconstrained_gev_from_hw(21), 20.0);
        near(calo_pt_gev_from_hw(1), 0.5);
        near(muon_phi_rad_from_hw(144), TAU / 4.0);
        assert_eq!(bx_from_native(0), Some(Bx::FIRST));
        assert_eq!(bx_from_native(3563), Some(Bx::LAST));
        assert_eq!((bx_from_native(3564), bx_from_native(u16::MAX)), (None, None));
        assert!((1..=3564).all(|n| {
            let bx = Bx::new(n).unwrap();
            u32::from(native_from_bx(bx)) + 1 == n && bx_from_native(native_from_bx(bx)) == Some(bx)
        }));
    }

    #[test]
    fn cmssw_rounds_calorimeter_phi_by_at_most_19_mrad_and_its_codes_come_back() {
        let distance = |hw: i16| {
            let apart = (calo_phi_rad_as_cmssw(hw) - calo_phi_rad_from_hw(hw)).abs();
            apart.min(TAU - apart)
        };
        let most = (0..CALO_PHI_CODES as i16).map(distance).fold(0.0, f64::max);
        assert!((0.0185..0.0195).contains(&most), "{most}");
        for hw in 0..CALO_PHI_CODES as i16 {
            assert_eq!(calo_hw_from_phi_rad_as_cmssw(calo_phi_rad_as_cmssw(hw)), hw);
        }
    }

    #[test]
    fn the_golden_muon_of_cmssw_has_20_gev() {
        assert!((muon_pt_gev_from_hw(41) - 20.0).abs() < 1e-12);
        assert!((muon_pt_gev_from_hw(11) - 5.0).abs() < 1e-12);
    }
}
