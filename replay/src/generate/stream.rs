//! Generated events on the colliding slots of a filling scheme, in blocks that can be made in any order.

use super::{GenerateError, Generator, GeneratorModel, PileUp};
use crate::event::{Block, Column, ColumnSet};
use crate::format::{
    BLOCK_CROSSINGS_MAX, BlockMeta, Provenance, SampleKind, SchemeRecord, StreamHeader,
};
use crate::lhc::{FillingScheme, lumi_section_of_orbit};

/// Where generated events go: the n-th onto the n-th colliding slot.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Which slots collide.
    pub scheme: FillingScheme,
    /// Run of all events.
    pub run: u32,
    /// First orbit.
    pub first_orbit: u32,
    /// Orbits of a block.
    pub orbits_per_block: u32,
}

impl Default for Placement {
    /// The LHC's scheme, run 1 from orbit 1 on, four orbits in a block.
    fn default() -> Placement {
        Placement { scheme: FillingScheme::lhc(), run: 1, first_orbit: 1, orbits_per_block: 4 }
    }
}

/// A stream of generated events, none of which has been made yet.
pub struct GeneratedStream {
    generator: Generator,
    placement: Placement,
    n_events: u64,
    header: StreamHeader,
}

impl GeneratedStream {
    /// The first `n_events` events of `model` with this pile-up and seed.
    ///
    /// # Errors
    /// As [`Generator::new`]; more orbits than there are, or too many crossings in a block.
    pub fn new(
        model: &GeneratorModel,
        pile_up: PileUp,
        rng_seed: u64,
        placement: Placement,
        n_events: u64,
    ) -> Result<GeneratedStream, GenerateError> {
        let generator = Generator::new(model, pile_up, rng_seed)?;
        let per_orbit = u64::from(placement.scheme.n_colliding());
        let n = per_orbit * u64::from(placement.orbits_per_block.max(1));
        if n > BLOCK_CROSSINGS_MAX as u64 {
            return Err(GenerateError::BlockLength { n, max: BLOCK_CROSSINGS_MAX });
        }
        let last_orbit = u64::from(placement.first_orbit) + n_events.saturating_sub(1) / per_orbit;
        if last_orbit > u64::from(u32::MAX) {
            let first_orbit = placement.first_orbit;
            return Err(GenerateError::OrbitRange { n_events, first_orbit });
        }
        let columns = generator.columns().with(Column::Lumi);
        let header = header(model, pile_up, rng_seed, &placement, columns);
        Ok(GeneratedStream { generator, placement, n_events, header })
    }

    /// What the stream says of itself.
    #[must_use]
    pub fn header(&self) -> &StreamHeader {
        &self.header
    }

    /// The columns of its blocks.
    #[must_use]
    pub fn columns(&self) -> ColumnSet {
        self.generator.columns().with(Column::Lumi)
    }

    /// Its events.
    #[must_use]
    pub fn n_events(&self) -> u64 {
        self.n_events
    }

    /// Its blocks.
    #[must_use]
    pub fn n_blocks(&self) -> u64 {
        self.n_events.div_ceil(self.events_per_block())
    }

    /// Events of every block but the last.
    #[must_use]
    pub fn events_per_block(&self) -> u64 {
        u64::from(self.placement.scheme.n_colliding())
            * u64::from(self.placement.orbits_per_block.max(1))
    }

    /// Makes block `number`: all of its columns. Empty if there is none of that number.
    pub fn fill(&self, number: u64, block: &mut Block) {
        let per_block = self.events_per_block();
        let first = number.saturating_mul(per_block).min(self.n_events);
        let n = per_block.min(self.n_events - first) as usize;
        block.reset(self.placement.run, self.columns());
        self.generator.fill(first, n, block);
        if n > 0 {
            self.place(self.orbit_of(number), n, block);
        }
    }

    /// Numbers the first `n` events of a block that begins with orbit `first`.
    fn place(&self, first: u32, n: usize, block: &mut Block) {
        let slots = self.placement.scheme.slots();
        let bxs = slots.iter().map(|&slot| slot as i16 + 1).cycle().take(n);
        block.get_mut::<i16>(Column::Bx).extend(bxs);
        for (orbit, done) in (first..).zip((0..n).step_by(slots.len())) {
            let end = n.min(done + slots.len());
            block.get_mut::<u32>(Column::Orbit).resize(end, orbit);
            block.get_mut::<u32>(Column::Lumi).resize(end, lumi_section_of_orbit(orbit));
        }
    }

    /// What is known of block `number`, which there is, before it is made; not how many objects it has.
    pub(super) fn meta(&self, number: u64) -> BlockMeta {
        let per_block = self.events_per_block();
        let n = per_block.min(self.n_events - number * per_block);
        let first_orbit = self.orbit_of(number);
        let per_orbit = u64::from(self.placement.scheme.n_colliding());
        BlockMeta {
            run: self.placement.run,
            n_crossings: n as u32,
            first_orbit,
            last_orbit: first_orbit + (n.saturating_sub(1) / per_orbit) as u32,
            n_objects: Default::default(),
            n_groups: 0,
            reserved: 0,
        }
    }

    /// The first orbit of a block.
    pub(super) fn orbit_of(&self, number: u64) -> u32 {
        self.placement.first_orbit
            + (number * u64::from(self.placement.orbits_per_block.max(1))) as u32
    }
}

fn header(
    model: &GeneratorModel,
    pile_up: PileUp,
    rng_seed: u64,
    placement: &Placement,
    columns: ColumnSet,
) -> StreamHeader {
    let sample = format!("generated-{}", model.fitted_to.sample);
    let mut header = StreamHeader::new(SampleKind::ZeroBias, &sample, columns);
    let fitted_to = &model.fitted_to;
    header.provenance = Provenance {
        settings: [
            ("command", "generate".to_owned()),
            ("fitted_to", fitted_to.sample.clone()),
            ("fitted_to_digest", format!("{:016x}", fitted_to.digest)),
            ("fitted_to_events", fitted_to.n_events.to_string()),
            ("pile_up", pile_up.to_string()),
            ("rng_seed", rng_seed.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
        ..header.provenance
    };
    let scheme = &placement.scheme;
    header.filling_scheme =
        Some(SchemeRecord { name: scheme.name().into(), ranges: scheme.ranges() });
    header
}
