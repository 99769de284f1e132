//! Makes events of a model: each from the seed and its number alone.

use super::GenerateError;
use super::batch::{BATCH, Batch, JetSums, KindBatch, OBJECTS_MAX, draws};
use super::histogram::{Aliases, Histogram};
use super::model::{ExtraModel, GeneratorModel, column_of};
use super::objects::{JetBins, KindTable, Tables};
use super::pile_up::PileUp;
use super::random::{Random, Seed};
use super::sums::ScalarTable;
use crate::event::{Block, Collection, Column, ColumnSet, Dtype};

/// Something else that objects have, ready to draw.
struct ExtraTable {
    column: Column,
    collection: Collection,
    /// Which of pT, eta, phi values are relative to.
    base: Option<usize>,
    range: (i32, i32),
    values: Aliases,
    /// Its number among those of the model.
    number: usize,
}

impl ExtraTable {
    fn new(extra: &ExtraModel, number: usize) -> Result<ExtraTable, GenerateError> {
        let column = column_of(&extra.column)?;
        let collection = column.spec().collection;
        let base = extra.base.as_deref().map(column_of).transpose()?;
        let kinematics = collection.kinematics();
        let base = base
            .zip(kinematics)
            .and_then(|(base, kinematics)| kinematics.iter().position(|&column| column == base));
        let (min, max) = column.spec().range.unwrap_or((0, 0));
        Ok(ExtraTable {
            column,
            collection,
            base,
            range: (min as i32, max as i32),
            values: Aliases::new([&extra.values]),
            number,
        })
    }

    /// The value of object `i` of a lane.
    fn draw(&self, objects: &KindBatch, lane: usize, i: usize, random: Random) -> i32 {
        let base = self.base.map_or(0, |base| i32::from(objects.codes[lane][base][i]));
        let [bits, _] = random.halves(draws::extra(self.number, i));
        (base + self.values.draw(0, bits)).clamp(self.range.0, self.range.1)
    }

    fn append(&self, batch: &Batch, block: &mut Block) {
        let objects = &batch.kinds[self.collection as usize];
        let values = (0..batch.n).flat_map(|lane| {
            let random = batch.randoms[lane];
            let n = usize::from(objects.counts[lane]);
            (0..n).map(move |i| self.draw(objects, lane, i, random))
        });
        match self.column.spec().dtype {
            Dtype::U8 => block.get_mut::<u8>(self.column).extend(values.map(|v| v as u8)),
            _ => block.get_mut::<i16>(self.column).extend(values.map(|v| v as i16)),
        }
    }
}

/// Makes events.
pub struct Generator {
    seed: Seed,
    columns: ColumnSet,
    label: i32,
    /// The least pile-up that can be, and which of them there is.
    pile_up: Option<(i32, Aliases)>,
    bins: JetBins,
    kinds: Vec<KindTable>,
    scalars: Vec<ScalarTable>,
    extras: Vec<ExtraTable>,
    tables: Tables,
}

impl Generator {
    /// A generator of events of `model` with this pile-up.
    ///
    /// # Errors
    /// A model whose parts do not fit together, or a pile-up that it does not know.
    pub fn new(
        model: &GeneratorModel,
        pile_up: PileUp,
        rng_seed: u64,
    ) -> Result<Generator, GenerateError> {
        model.check()?;
        let histogram = pile_up.histogram(model)?;
        let reference = model.pile_up.as_ref().map_or(1.0, |pile_up| pile_up.reference);
        let relative: Vec<f64> = histogram.as_ref().map_or(vec![1.0], |histogram| {
            let last = histogram.first + histogram.weights.len() as i32;
            // A crossing without any collision is as empty as one with half of one.
            (histogram.first..last).map(|n| f64::from(n).max(0.5) / reference).collect()
        });
        let kind =
            |kind: &super::model::KindModel| Some(KindTable::new(kind, kind.kind()?, &relative));
        Ok(Generator {
            seed: Seed::new(rng_seed),
            columns: model.column_set()?,
            label: model.label,
            pile_up: histogram.map(|h| (h.first, Aliases::new([&Histogram { first: 0, ..h }]))),
            bins: JetBins::new(model),
            kinds: model.kinds.iter().filter_map(kind).collect(),
            scalars: model
                .scalars
                .iter()
                .enumerate()
                .map(|(number, scalar)| ScalarTable::new(scalar, number, &relative))
                .collect::<Result<_, _>>()?,
            extras: model
                .extras
                .iter()
                .enumerate()
                .map(|(number, extra)| ExtraTable::new(extra, number))
                .collect::<Result<_, _>>()?,
            tables: Tables::new(),
        })
    }

    /// The columns of its events; those of the crossing are filled in by whoever places them.
    #[must_use]
    pub fn columns(&self) -> ColumnSet {
        self.columns
    }

    /// Fills the columns of `block`, which is empty and holds at least these, with events `first`,
    /// `first + 1`, ..., `n` of them; not orbit and crossing number, which whoever places them does.
    ///
    /// **Real-time**: allocates nothing once the block's columns have grown.
    ///
    /// # Panics
    /// Never: multiplicities are within capacities, which the model's check has seen to.
    pub fn fill(&self, first: u64, n: usize, block: &mut Block) {
        debug_assert!(block.is_empty() && block.columns().contains_all(self.columns));
        let mut batch = Batch::new();
        for done in (0..n).step_by(BATCH) {
            let begin = first + done as u64;
            self.draw_objects(&mut batch, begin, BATCH.min(n - done));
            self.append_crossings(&batch, begin, block);
            for kind in &self.kinds {
                append_objects(kind.collection, &batch.kinds[kind.collection as usize], block);
            }
            self.append_sums(&batch, block);
            self.extras.iter().for_each(|extra| extra.append(&batch, block));
        }
        block.index_objects().expect("multiplicities are within capacities");
    }

    /// Draws pile-up and objects of crossings `first`, `first + 1`, ..., at most a batch of them.
    fn draw_objects(&self, batch: &mut Batch, first: u64, n: usize) {
        batch.begin(self.seed, first, n);
        if let Some((_, aliases)) = &self.pile_up {
            for (pile_up, random) in batch.pile_ups.iter_mut().zip(&batch.randoms[..n]) {
                *pile_up = aliases.draw(0, random.halves(draws::PILE_UP)[0]) as u16;
            }
        }
        for kind in &self.kinds {
            let is_jet = kind.collection == Collection::Jet;
            kind.draw_pts(batch, &self.tables);
            if is_jet {
                batch.bin_jets(&self.bins);
            }
            kind.draw_directions(batch, &self.tables);
            if is_jet {
                batch.bin_sums(&self.bins);
            }
        }
    }

    /// What every crossing has one of, but for sums.
    fn append_crossings(&self, batch: &Batch, first: u64, block: &mut Block) {
        for collection in Collection::OBJECTS {
            let column = collection.count_column().expect("objects are counted");
            let counts = &batch.kinds[collection as usize].counts[..batch.n];
            block.get_mut::<u8>(column).extend_from_slice(counts);
        }
        if let Some((least, _)) = self.pile_up.as_ref().filter(|_| self.has(Column::PileUp)) {
            let pile_ups = batch.pile_ups[..batch.n].iter();
            let numbers = pile_ups.map(|&place| (least + i32::from(place)) as f32);
            block.get_mut::<f32>(Column::PileUp).extend(numbers);
        }
        if self.has(Column::Event) {
            block.get_mut::<u64>(Column::Event).extend(first..first + batch.n as u64);
        }
        if self.has(Column::Label) {
            let labels = block.get_mut::<i32>(Column::Label);
            labels.resize(labels.len() + batch.n, self.label);
        }
    }

    fn has(&self, column: Column) -> bool {
        self.columns.contains(column)
    }

    fn append_sums(&self, batch: &Batch, block: &mut Block) {
        let mut mets = [(0, 0); BATCH];
        for scalar in &self.scalars {
            let mut drawn = [(0, 0); BATCH];
            scalar.draw(batch, &mets, &self.tables.angles, &mut drawn);
            let drawn_here = &drawn[..batch.n];
            block.get_mut::<i16>(scalar.column).extend(drawn_here.iter().map(|&(code, _)| code));
            if let Some(direction) = scalar.direction {
                block.get_mut::<i16>(direction).extend(drawn_here.iter().map(|&(_, phi)| phi));
            }
            if scalar.column == Column::MetPt {
                mets = drawn;
            }
        }
    }

    /// Sums of the jets of the first `n` crossings, for those who fit what depends on them.
    pub(super) fn jet_sums(&self, n: usize) -> Vec<JetSums> {
        let mut batch = Batch::new();
        let mut sums = Vec::with_capacity(n);
        for done in (0..n).step_by(BATCH) {
            self.draw_objects(&mut batch, done as u64, BATCH.min(n - done));
            sums.extend_from_slice(&batch.jet_sums[..batch.n]);
        }
        sums
    }
}

fn append_objects(collection: Collection, objects: &KindBatch, block: &mut Block) {
    let kinematics = collection.kinematics().expect("objects have kinematics");
    let n: usize = objects.n_lanes.iter().sum();
    for (k, column) in kinematics.into_iter().enumerate() {
        let column = block.get_mut::<i16>(column);
        column.reserve(n + OBJECTS_MAX);
        // All places of a lane are written, and those beyond its objects written over: copies of a fixed length.
        for lane in objects.lanes(0) {
            let end = column.len() + usize::from(objects.counts[lane]);
            column.extend_from_slice(&objects.codes[lane][k]);
            column.truncate(end);
        }
    }
}
