//! Is there a bump on a falling spectrum?
//!
//! Extended likelihood: counts n_i are Poisson around ν_i = b_i + S g_i, where b is a smooth background with free
//! parameters and g a Gaussian of width fixed by the resolution; unbinned, −ln L = ∫ ν − Σ ln ν(x_i) over events. For
//! each mean of a **scan** the background alone (H0) is compared with background and signal (H1): q₀ = 2 ln(L₁ / L₀),
//! zero where less than the background is seen; locally Z = √q₀. What counts is the largest q₀ of the scan; how often a
//! fluctuation is as large **anywhere** toys of the fitted background tell (the look-elsewhere effect), and
//! beyond their number the distribution that [`Elsewhere`] fits to them.
//!
//! Minima are found by argmin's L-BFGS with derivatives written out, in units in which every parameter has an
//! error of the order of one. A minimum that is not reached is an error for data, and counted for toys.
//! Means on a grid are not fitted: the grid should be finer than the width.
//! **Source**: G. Cowan et al., EPJC 71 (2011) 1554, eqs. 12, 52; E. Gross, O. Vitells, EPJC 70 (2010) 525.

mod elsewhere;
mod fit;
mod scan;
mod spectrum;

pub use elsewhere::Elsewhere;
pub use fit::{Background, Fitted};
pub use scan::{Hypothesis, Scan, Scanned};
pub use spectrum::Spectrum;
