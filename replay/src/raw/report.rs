//! What was wrong in bytes that were read all the same: counted by kind, the first ones in full.
//!
//! Decoders skip what the real system skips and go on. Each skip is counted, and the first few of
//! each kind are kept with file, byte offset and orbit, so that memory stays bounded.

use std::fmt::Display;

/// Messages kept of each kind.
const KEPT_OF_A_KIND: u64 = 3;

macro_rules! kinds {
    ($($(#[$doc:meta])* $id:ident $text:literal;)*) => {
        /// A kind of trouble.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Trouble { $($(#[$doc])* $id),* }

        impl Trouble {
            /// Every kind, in the order of its number.
            pub const ALL: &[Trouble] = &[$(Trouble::$id),*];

            /// What happened to so many things, as a phrase that follows a number.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Trouble::$id => $text),* }
            }
        }
    };
}

kinds! {
    /// A file or a stream ends within an orbit.
    Truncated "orbits cut short: what came before is kept";
    /// Headers that say what is not so.
    Header "file headers that disagree with their content, which wins";
    /// The version of an orbit's header is unknown, or another than before.
    Version "changes to an unknown orbit header: the rest of the file is not read";
    /// Sources that no format is known for.
    Source "orbits of sources that are not read";
    /// Orbits that repeat or go backwards in one source.
    OrbitOrder "orbits that repeat or go backwards: skipped";
    /// What precedes objects makes no sense: lengths cannot be trusted.
    Block "damaged blocks: the rest of their orbit, in that source, is lost";
    /// Crossings that occur twice in an orbit.
    DuplicateBx "crossings that occur twice in an orbit: the first is kept";
    /// Events that the sender truncated.
    TruncatedEvent "events that their sender truncated: kept without objects";
    /// Bytes between orbits that belong to none.
    Stray "bytes or blocks that belong to no orbit";
    /// The sender reports an error in an orbit.
    OrbitError "orbits in which the sender reports an error: kept";
    /// Objects beyond the capacity of the event model.
    Capacity "objects beyond what a crossing can hold: those of lowest pT are dropped";
    /// Azimuths beyond a full turn.
    Phi "objects with an azimuth beyond a full turn: skipped";
    /// Stubs without the valid bit.
    InvalidStub "stubs without the valid bit: skipped";
    /// Stubs that name another crossing than their block.
    StubBx "stubs that name another crossing than their block: kept";
    /// Muons that are no final ones.
    IntermediateMuon "intermediate muons: skipped";
    /// Muons of quality 0.
    MuonQuality "muons of quality 0: skipped";
    /// A kind of object from both boards.
    BothCalo "orbits in which both calorimeter boards send the same kind: TCP is kept";
    /// Luminosity sections that do not follow from the orbit.
    Lumi "orbits whose luminosity section is not that of their number: kept as recorded";
    /// Runs that are not that of the file.
    Run "orbits or events that name another run than their file: kept, as of the file's run";
    /// Entries of pT 0.
    EmptyObject "objects of pT 0: skipped";
    /// Lists that were not in descending pT.
    Resorted "lists of objects sorted by pT";
}

/// What went wrong so far.
#[derive(Clone, Debug, Default)]
pub struct Report {
    counts: [u64; Trouble::ALL.len()],
    messages: Vec<String>,
    file: String,
}

impl Report {
    /// What follows is about this file.
    pub fn set_file(&mut self, name: &str) {
        name.clone_into(&mut self.file);
    }

    /// Counts one.
    pub fn count(&mut self, kind: Trouble) {
        self.counts[kind as usize] += 1;
    }

    /// Counts one, and keeps the message if it is one of the first of its kind. `offset` is that
    /// of the byte in the file.
    pub fn note(&mut self, kind: Trouble, offset: u64, orbit: Option<u32>, what: impl Display) {
        self.count(kind);
        if self.of(kind) > KEPT_OF_A_KIND {
            return;
        }
        let orbit = orbit.map_or(String::new(), |orbit| format!(", orbit {orbit}"));
        self.messages.push(format!("{}: byte {offset}{orbit}: {what}", self.file));
    }

    /// How many there were of a kind.
    #[must_use]
    pub fn of(&self, kind: Trouble) -> u64 {
        self.counts[kind as usize]
    }

    /// Numbers and what of, those that are not zero.
    #[must_use]
    pub fn counts(&self) -> Vec<(u64, &'static str)> {
        let all = Trouble::ALL.iter().map(|&kind| (self.of(kind), kind.text()));
        all.filter(|(n, _)| *n > 0).collect()
    }

    /// The first messages of each kind.
    #[must_use]
    pub fn messages(&self) -> &[String] {
        &self.messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_counted_and_only_the_first_of_a_kind_are_told() {
        let mut report = Report::default();
        report.set_file("a.raw");
        for orbit in 0..1000 {
            report.note(Trouble::Block, u64::from(orbit) * 8, Some(orbit), "cut");
        }
        report.note(Trouble::Truncated, 9, None, "the end");
        assert_eq!((report.of(Trouble::Block), report.counts().len()), (1000, 2));
        assert_eq!(report.messages().len(), 4);
        assert_eq!(report.messages()[1], "a.raw: byte 8, orbit 1: cut");
        assert_eq!(report.messages()[3], "a.raw: byte 9: the end");
    }

    #[test]
    fn kinds_are_numbered_by_their_place() {
        assert!(Trouble::ALL.iter().enumerate().all(|(number, &kind)| kind as usize == number));
    }
}
