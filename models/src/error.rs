//! What can go wrong with specifications, models and training: one enum, by what to do about it.
//!
//! Scoring itself has no errors: whatever it relies on was checked when the model was made.

use std::path::PathBuf;

/// Why something was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text of a feature specification does not say what it should.
    #[error(
        "feature specification `{text}`, character {position}: {problem}\n\
         hint: features are columns, separated by commas: `met.pt, jet[0..4].(pt,eta/2)`"
    )]
    Spec {
        /// The whole text.
        text: String,
        /// Where, counted from 1.
        position: usize,
        /// What was expected, what was found, and what exists.
        problem: String,
    },
    /// The events lack columns that the features are made of.
    #[error(
        "the features need the columns {missing}, which the events lack: expected features of \
         {found}\nhint: take a stream that has them, or features that need less"
    )]
    MissingColumns {
        /// Names, comma-separated.
        missing: String,
        /// Names of the columns that the events have and that can be features.
        found: String,
    },
    /// A number that a threshold cannot be.
    #[error("threshold {found}: expected a number in the display units of the model")]
    Threshold {
        /// What was given.
        found: f64,
    },
    /// A setting of the training that cannot be.
    #[error("{setting}: expected {expected}, found {found}")]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The rows that were announced are not the rows that came.
    #[error(
        "training rows: expected {expected} as announced, found {found}: count the rows that are \
         collected before drawing the sample"
    )]
    RowCount {
        /// Rows announced when the sample was drawn.
        expected: u64,
        /// Rows collected.
        found: u64,
    },
    /// Nothing can be split.
    #[error(
        "all {n_features} features are constant over the {n_rows} training rows: expected at \
         least one that varies; check the feature specification and the input"
    )]
    Constant {
        /// Features of a row.
        n_features: usize,
        /// Rows looked at.
        n_rows: usize,
    },
    /// The forest is not one.
    #[error("tree {tree}, node {node}: {problem}")]
    Node {
        /// Which tree.
        tree: usize,
        /// Which node, counted within the tree.
        node: usize,
        /// What was expected and found.
        problem: String,
    },
    /// A property of a forest as a whole is wrong.
    #[error("forest: {what}: expected {expected}, found {found}")]
    Forest {
        /// Which property.
        what: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A property of a neural network is wrong.
    #[error("network: {what}: expected {expected}, found {found}")]
    Network {
        /// Which property.
        what: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The bytes are not a model file, or not an intact one.
    #[error("model file, byte {offset}: {what}: expected {expected}, found {found}; {remedy}")]
    Format {
        /// Where.
        offset: usize,
        /// Which part of the file.
        what: &'static str,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The operating system refused.
    #[error("`{path}`: while {action}: {source}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// A model that another library trained cannot be taken over.
    #[error("{library} model, {place}: expected {expected}, found {found}\nhint: {hint}")]
    Import {
        /// Which library.
        library: &'static str,
        /// Which part of the model.
        place: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// Training lost its way.
    #[error(
        "epoch {epoch}, step {step}: expected a finite loss, found {loss}\n\
         hint: a lower learning rate, a longer warm-up, or the Huber loss"
    )]
    Diverged {
        /// Counted from 1.
        epoch: u32,
        /// Of the epoch, counted from 1.
        step: u32,
        /// What was found.
        loss: f64,
    },
    /// A training cannot go on from this file.
    #[error(
        "checkpoint `{path}`: {what}: expected {expected}, found {found}\nhint: {hint}",
        path = path.display()
    )]
    Checkpoint {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// Another library that trains forests failed.
    #[error("extended-isolation-forest, while {action}: {problem}")]
    Crate {
        /// What was being done.
        action: &'static str,
        /// What it says.
        problem: String,
    },
}

/// What a file says, fit for a terminal: control characters are escaped, since they could move the
/// cursor or pretend to be lines of ours.
#[must_use]
pub fn legible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// Shorthand of the crate.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn setting(
        setting: &'static str,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Error {
        Error::Setting { setting, expected: expected.into(), found: found.to_string() }
    }

    pub(crate) fn forest(
        what: &'static str,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Error {
        Error::Forest { what, expected: expected.into(), found: found.to_string() }
    }

    pub(crate) fn network(what: &'static str, expected: String, found: String) -> Error {
        Error::Network { what, expected, found }
    }
}
