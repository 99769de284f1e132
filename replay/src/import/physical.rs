//! From physical quantities to hardware integers, for every importer that needs it.
//!
//! Formats that hold GeV and radians are encoded to the nearest code by [`units`]; what lies beyond
//! a field is set to its limit and counted, because it would be a saturated object in hardware.

use crate::event::Collection;
use crate::units;

/// How the objects of one collection are encoded.
#[derive(Debug)]
pub(super) struct Kind {
    pub collection: Collection,
    pt_max: i64,
    /// Added to the pT code before rounding: a muon's code has an offset of one.
    pt_offset: f64,
    pt: fn(f64, i64) -> i16,
    eta: fn(f64) -> i16,
    eta_limit: f64,
    phi: fn(f64) -> i16,
}

pub(super) const MUON: Kind = Kind {
    collection: Collection::Muon,
    pt_max: units::MUON_PT_MAX,
    pt_offset: 1.0,
    pt: |pt_gev, _| units::muon_hw_from_pt_gev(pt_gev),
    eta: units::muon_hw_from_eta,
    eta_limit: 255.5 * units::MUON_ETA_LSB,
    phi: units::muon_hw_from_phi_rad,
};

const fn calorimeter(collection: Collection, pt_max: i64) -> Kind {
    Kind {
        collection,
        pt_max,
        pt_offset: 0.0,
        pt: units::calo_hw_from_pt_gev,
        eta: units::calo_hw_from_eta,
        eta_limit: 127.5 * units::CALO_ETA_LSB,
        phi: units::calo_hw_from_phi_rad,
    }
}

pub(super) const EGAMMA: Kind = calorimeter(Collection::EGamma, units::EGAMMA_PT_MAX);
pub(super) const JET: Kind = calorimeter(Collection::Jet, units::JET_PT_MAX);
#[cfg(feature = "root")]
pub(super) const TAU: Kind = calorimeter(Collection::Tau, units::EGAMMA_PT_MAX);

impl Kind {
    /// Codes of pT, eta and phi, and how many of them were set to a limit. **Units**: GeV, 1, rad.
    pub(super) fn encode(&self, [pt, eta, phi]: [f64; 3]) -> ([i16; 3], u64) {
        let beyond = beyond(pt / units::PT_LSB_GEV + self.pt_offset, self.pt_max)
            + u64::from(eta.abs() >= self.eta_limit);
        ([(self.pt)(pt, self.pt_max), (self.eta)(eta), (self.phi)(phi)], beyond)
    }
}

/// Codes of an energy sum and of its azimuth, and how many were set to a limit.
pub(super) fn encode_sum(pt_gev: f64, phi_rad: f64) -> ([i16; 2], u64) {
    let codes = [units::sum_hw_from_pt_gev(pt_gev), units::calo_hw_from_phi_rad(phi_rad)];
    (codes, beyond(pt_gev / units::PT_LSB_GEV, units::SUM_PT_MAX))
}

fn beyond(code: f64, max: i64) -> u64 {
    u64::from(code.round() > max as f64)
}
