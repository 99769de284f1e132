//! What a study refuses, by what to do about it.

/// Why a study has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A sample says nothing.
    #[error("expected {what}, found none")]
    NoEvents {
        /// Which events.
        what: &'static str,
    },
    /// A weight that no event can have.
    #[error(
        "weight of event {index} (counted from 0): expected 0 or a number from 1e-150 to 1e150, found \
         {found}\nhint: leave events of negative weight out, or unite them with others first"
    )]
    Weight {
        /// Which event.
        index: usize,
        /// Its weight.
        found: f64,
    },
    /// All weights are zero: there is nothing to divide by.
    #[error("expected some weight above zero, found {events} events that weigh nothing")]
    NoWeight {
        /// How many.
        events: u64,
    },
    /// Two lists that describe the same events differ in length.
    #[error("{what}: expected one for each of the {expected} events, found {found}")]
    Length {
        /// Which list.
        what: &'static str,
        /// Length of the first list.
        expected: usize,
        /// Length of this one.
        found: usize,
    },
    /// A setting outside its range.
    #[error("{setting}: expected {expected}, found {found}")]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: f64,
    },
    /// One event stands for more than what is asked.
    #[error(
        "a false positive rate of {target} needs at least {needed} background events, found what is \
         worth {found:.0}\nhint: take more events or a larger false positive rate"
    )]
    TooFew {
        /// The false positive rate that was asked for.
        target: f64,
        /// Events that it needs for one accepted event.
        needed: u64,
        /// Effective number of events found.
        found: f64,
    },
    /// A value that no event can have.
    #[error("{what}, event {index} (counted from 0): expected a number, found none (NaN)")]
    Value {
        /// Which list.
        what: &'static str,
        /// Which event.
        index: usize,
    },
    /// Histograms of different bins cannot be compared.
    #[error("expected histograms with the same edges, found {first} and {second} bins{hint}")]
    Bins {
        /// Bins of the first.
        first: usize,
        /// Bins of the second.
        second: usize,
        /// What differs if the number does not.
        hint: &'static str,
    },
    /// Too few points for a curve.
    #[error(
        "a polynomial of degree {degree} needs at least {needed} points at different {what}, found \
         {found}"
    )]
    TooFewPoints {
        /// Degree of the polynomial.
        degree: usize,
        /// Points that it needs.
        needed: usize,
        /// Points found.
        found: usize,
        /// What the points differ in.
        what: &'static str,
    },
    /// A name of no observable.
    #[error("observable `{found}`: expected one of {known}")]
    Observable {
        /// What was asked for.
        found: String,
        /// What there is.
        known: String,
    },
    /// Where all values are equal nothing correlates.
    #[error("{what}: expected at least two different values, found only {found}")]
    Constant {
        /// Which list.
        what: &'static str,
        /// The value.
        found: f64,
    },
    /// A minimum was not found; what was found instead is not used.
    #[error(
        "{what}: did not converge in {steps} steps, the statistic would still change by about \
         {left:.2e}\nhint: take a larger penalty or fewer parameters"
    )]
    NotConverged {
        /// What was minimised.
        what: &'static str,
        /// Steps that were taken.
        steps: usize,
        /// Estimate of how far it is.
        left: f64,
    },
    /// Fits of toys failed, so that the largest are not known.
    #[error(
        "expected fits of at most one in twenty toys to fail, found {failed} of {toys}\n\
         hint: take a background of another shape or fewer coefficients, or wider bins"
    )]
    ToysFailed {
        /// Those that did.
        failed: usize,
        /// All.
        toys: usize,
    },
    /// Toys would need more events than there are.
    #[error(
        "{what}: expected at least {needed:.0} events, found {found:.0}\nhint: give more events, a \
         looser cut, a smaller exposure or a smaller reference"
    )]
    SmallPool {
        /// Which events.
        what: &'static str,
        /// How many a toy takes.
        needed: f64,
        /// How many there are.
        found: f64,
    },
    /// Results of earlier toys cannot be gone on from.
    #[error("`{file}`, line {line}: expected {expected}, found `{found}`\nhint: {hint}")]
    Toys {
        /// The file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// A file of results of toys cannot be read or written.
    #[error("`{file}`: {problem}")]
    File {
        /// The file.
        file: String,
        /// What the system says.
        problem: String,
    },
    /// There is no threshold for a rate.
    #[error(transparent)]
    Calibrate(#[from] crate::rate::CalibrateError),
}

/// Refuses a setting unless it `holds`.
pub(crate) fn check(
    holds: bool,
    setting: &'static str,
    expected: &'static str,
    found: f64,
) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Setting { setting, expected, found }) }
}
