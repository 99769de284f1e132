//! The kinds of forest that are trained: how they split, and the settings they were published with.
//!
//! A [`SplitRule`] says how a node finds its split; a [`Variant`] is a name for a set of settings,
//! any of which may be changed afterwards. Settings are data: nothing here grows anything.
//!
//! **Source**: settings of the literature as the documentation of isotree 0.6.1 lists them; those
//! of PIDForest are of its authors' own runs.

use super::score::Metric;
use super::train::ForestConfig;

/// A largest depth that no tree reaches.
pub const UNLIMITED_DEPTH: u32 = u32::MAX;

/// How a node finds its split.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum SplitRule {
    /// At random: a feature that varies, or a hyperplane through the box of the rows.
    #[default]
    Uniform,
    /// A feature with a probability in proportion to its range, a threshold at random.
    ByRange,
    /// The threshold that gains most, in the best of some hyperplanes.
    Gain {
        /// What is gained.
        criterion: Gain,
        /// Hyperplanes that are tried.
        tries: usize,
    },
    /// Into several ranges of a feature that differ most in how sparse they are.
    Histogram {
        /// Most ranges.
        max_buckets: usize,
        /// How much worse than the best histogram the one used may be: 0.1 = 10 %.
        epsilon: f64,
    },
}

/// What a split should make small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gain {
    /// The mean of the standard deviations of both sides.
    Average,
    /// The variance that is left, each side weighted by its rows.
    Pooled,
}

/// A kind of forest by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// Isolation forest: Liu, Ting, Zhou, ICDM 2008.
    #[default]
    Iforest,
    /// Extended isolation forest: Hariri, Carrasco Kind, Brunner, IEEE TKDE 33 (2021) 1479.
    Eif,
    /// SCiForest: Liu, Ting, Zhou, ECML PKDD 2010.
    Sciforest,
    /// Fair-cut forest: Cortes, arXiv:2110.13402.
    Fcf,
    /// Robust random cut forest, as far as choosing features goes: Guha, Mishra, Roy,
    /// Schrijvers, ICML 2016. Scores are path lengths, not displacements.
    Rrcf,
    /// PIDForest: Gopalan, Sharan, Wieder, NeurIPS 2019.
    Pidforest,
}

impl Variant {
    /// All of them.
    pub const ALL: [Variant; 6] = [
        Variant::Iforest,
        Variant::Eif,
        Variant::Sciforest,
        Variant::Fcf,
        Variant::Rrcf,
        Variant::Pidforest,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Variant::Iforest => "iforest",
            Variant::Eif => "eif",
            Variant::Sciforest => "sciforest",
            Variant::Fcf => "fcf",
            Variant::Rrcf => "rrcf",
            Variant::Pidforest => "pidforest",
        }
    }

    /// The variant with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Variant> {
        Variant::ALL.into_iter().find(|variant| variant.name() == name)
    }

    /// The settings it was published with.
    #[must_use]
    pub fn config(self) -> ForestConfig {
        let iforest = ForestConfig::default();
        match self {
            Variant::Iforest => iforest,
            Variant::Eif => ForestConfig { extension_level: 1, ..iforest },
            Variant::Sciforest => ForestConfig {
                extension_level: 1,
                rule: SplitRule::Gain { criterion: Gain::Average, tries: 10 },
                penalize_range: true,
                ..iforest
            },
            Variant::Fcf => ForestConfig {
                n_trees: 200,
                max_depth: Some(UNLIMITED_DEPTH),
                extension_level: 1,
                rule: SplitRule::Gain { criterion: Gain::Pooled, tries: 1 },
                ..iforest
            },
            Variant::Rrcf => ForestConfig {
                max_depth: Some(UNLIMITED_DEPTH),
                rule: SplitRule::ByRange,
                ..iforest
            },
            Variant::Pidforest => ForestConfig {
                n_trees: 10,
                subsample_size: 100,
                max_depth: Some(10),
                metric: Metric::BoxedDensity2,
                rule: SplitRule::Histogram { max_buckets: 3, epsilon: 0.1 },
                ..iforest
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_their_variants() {
        for variant in Variant::ALL {
            assert_eq!(Variant::from_name(variant.name()), Some(variant));
        }
        assert_eq!(Variant::from_name("forest"), None);
    }

    #[test]
    fn the_first_variant_is_the_default() {
        assert_eq!(Variant::default().config(), ForestConfig::default());
    }
}
