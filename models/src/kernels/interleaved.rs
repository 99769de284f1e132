//! Evaluates a forest by walking, 64 events at a time, many of them in flight.
//!
//! ```text
//! columns ─► tiles of 64 events
//! tile ─► top of a tree, every node for every event ─► codes ─► nodes or values   (`dense`)
//! tile ─► rest of the tree, 16 walks in flight ─► leaves ─► values
//! ```
//!
//! A step of a walk waits for the load of its node, then for that of its feature; 16 walks that
//! know nothing of each other wait at the same time. There is no branch on the data: a leaf leads
//! to itself with a comparison that never holds. After every few levels comes one question, whether
//! anyone has moved.
//!
//! Near the root a tree has few nodes and every event passes there: with vectors it is cheaper to
//! evaluate all nodes for all events than to walk. From the bottom up, each node chooses between
//! the codes that its children left, and what the root is left with says where the walk begins,
//! or, where no level is left to walk, what the leaf is worth.
//!
//! [`forest::interleaved`](crate::forest::interleaved) writes the [`Program`]; this file executes
//! it, and [`Program::new`] checks that it can do no harm. What is not done: vectors that gather
//! the nodes of a walk. Where that was measured, it was as fast as scalar loads within the noise.

use super::dense;
use super::isa::Isa;
use crate::rows::{AlignedLanes, MAX_BATCH, Rows};
use crate::scorer::Score;

/// Events in a tile.
pub(crate) const TILE: usize = 64;
/// Codes that the top of a tree can give.
pub(crate) const MAX_CODES: usize = 256;
/// Codes in a line: 64 bytes.
pub(crate) const LINE: usize = 32;
/// Walks in flight.
const FLIGHT: usize = 16;
/// Levels from one look at who has moved to the next.
const ROUND: u32 = 4;

const _: () = assert!(TILE.is_multiple_of(LINE) && TILE.is_multiple_of(FLIGHT));
const _: () = assert!(MAX_BATCH.is_multiple_of(TILE));
const _: () = assert!(crate::features::MAX_FEATURES * TILE <= 1 << 16, "places fit u16");

/// A node that compares one feature. A leaf leads to itself and has the largest threshold.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct AxisNode {
    /// Left child; the right child follows it.
    pub left: u32,
    /// Where the feature of the first event of a tile is.
    pub place: u16,
    /// Right iff the feature is larger.
    pub threshold: i16,
}

/// A node that compares the sum of two products. A leaf leads to itself and has the largest
/// threshold.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub(crate) struct PairNode {
    /// Left child; the right child follows it.
    pub left: u32,
    /// Right iff the sum is larger.
    pub threshold: i32,
    /// Not both the smallest i16: so the sum fits an i32, the smallest one excepted.
    pub weights: [i16; 2],
    /// Where the features of the first event of a tile are.
    pub places: [u16; 2],
}

/// Nodes that compare sums of any number of products.
#[derive(Clone, Debug, Default)]
pub(crate) struct ManyNodes {
    /// Left children; right children follow them.
    pub left: Vec<u32>,
    /// Right iff the sum is larger; the largest i64 in a leaf.
    pub thresholds: Vec<i64>,
    /// Products of each node, filled up with zeros.
    pub width: usize,
    /// Places and weights. **Shape**: `(nodes, width)`.
    pub terms: Vec<(u16, i16)>,
}

/// The nodes of what is left to be walked.
#[derive(Clone, Debug)]
pub(crate) enum Nodes {
    /// One feature each.
    Axis(Vec<AxisNode>),
    /// Two products each; the second may be zero.
    Pair(Vec<PairNode>),
    /// Any number.
    Many(ManyNodes),
}

/// A node of the top of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopNode {
    /// Places of the features; axis-parallel nodes look at the first.
    pub places: [u16; 2],
    /// As in [`PairNode`]; axis-parallel nodes have none.
    pub weights: [i16; 2],
    /// Right iff the sum is larger; for axis-parallel nodes a threshold of 16 bits, twice.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no vectors compare"))]
    pub threshold: i32,
    /// Lines of the codes of the left and the right child: the line of a constant code, or
    /// [`MAX_CODES`] more than the number of a node of the same tree that comes before.
    pub lines: [u16; 2],
}

/// A tree: the nodes of its top, children before parents, and where that leads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    /// Where the nodes of its top end; they begin where those of the tree before end.
    pub tops_end: u32,
    /// Where the meanings of its codes end. Without a top, there is one.
    pub exits_end: u32,
    /// Most levels that are left to be walked. If none, codes stand for values, else for nodes.
    pub depth: u32,
}

/// What a [`Program`] is made of.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub n_features: usize,
    pub trees: Vec<Tree>,
    pub tops: Vec<TopNode>,
    pub exits: Vec<u32>,
    pub nodes: Nodes,
    /// Of every node that is left to be walked to; 0 for inner nodes.
    pub values: Vec<i32>,
    /// Where groups of trees end that go over all tiles before the next group does.
    pub groups: Vec<u32>,
}

impl Nodes {
    fn len(&self) -> usize {
        match self {
            Nodes::Axis(nodes) => nodes.len(),
            Nodes::Pair(nodes) => nodes.len(),
            Nodes::Many(nodes) => nodes.left.len(),
        }
    }
}

/// A forest to be walked, found to stay within its nodes and tiles.
#[derive(Clone, Debug)]
pub(crate) struct Program(Parts);

impl Program {
    /// The program of these parts.
    ///
    /// # Panics
    /// If a walk could leave the nodes or the tile: a mistake in the program that wrote it.
    pub(crate) fn new(parts: Parts) -> Program {
        let n_nodes = parts.nodes.len();
        assert_eq!(parts.values.len(), n_nodes, "a value for every node");
        check_nodes(&parts);
        let (mut top, mut exit) = (0, 0);
        for tree in &parts.trees {
            let tops = &parts.tops[top..tree.tops_end as usize];
            let exits = &parts.exits[exit..tree.exits_end as usize];
            (top, exit) = (tree.tops_end as usize, tree.exits_end as usize);
            assert!((1..=MAX_CODES).contains(&exits.len()), "codes of a tree");
            assert!(!tops.is_empty() || exits.len() == 1, "one code without a top");
            for (k, node) in tops.iter().enumerate() {
                let known = |line: u16| {
                    let line = usize::from(line);
                    line < exits.len() || (MAX_CODES..MAX_CODES + k).contains(&line)
                };
                assert!(node.lines.into_iter().all(known), "lines of codes");
                assert!(node.places.into_iter().all(|p| is_place(&parts, p)), "places");
            }
            let are_nodes = exits.iter().all(|&exit| (exit as usize) < n_nodes);
            assert!(tree.depth == 0 || are_nodes, "codes stand for nodes");
        }
        assert!(top == parts.tops.len() && exit == parts.exits.len(), "the last end is the end");
        assert!(parts.groups.is_sorted(), "ends ascend");
        assert_eq!(parts.groups.last().copied(), Some(parts.trees.len() as u32), "all trees");
        Program(parts)
    }

    /// Lanes of working memory that it needs.
    pub(crate) fn n_lanes(&self) -> usize {
        let most = self.tops().map(|range| range.len()).max().unwrap_or(0);
        self.0.n_features * MAX_BATCH + (MAX_CODES + most) * LINE
    }

    /// The nodes of the top of each tree.
    fn tops(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let ends = || self.0.trees.iter().map(|tree| tree.tops_end as usize);
        std::iter::once(0).chain(ends()).zip(ends()).map(|(begin, end)| begin..end)
    }

    /// Scores every event of the batch.
    ///
    /// # Panics
    /// If the rows, the memory or the scores are not of this program's sizes.
    pub(crate) fn score(
        &self,
        isa: Isa,
        rows: Rows<'_>,
        memory: &mut AlignedLanes,
        out: &mut [Score],
    ) {
        let Program(parts) = self;
        assert_eq!(rows.n_features(), parts.n_features, "rows of another specification");
        assert_eq!(out.len(), rows.n_events(), "one score per event");
        let memory = &mut memory.lanes_mut()[..self.n_lanes()];
        let (tiles, lines) = memory.split_at_mut(parts.n_features * MAX_BATCH);
        let n_tiles = out.len().div_ceil(TILE);
        let tile_len = parts.n_features * TILE;
        for (index, tile) in tiles.chunks_exact_mut(tile_len).take(n_tiles).enumerate() {
            for (feature, to) in tile.chunks_exact_mut(TILE).enumerate() {
                to.copy_from_slice(&rows.column_padded(feature)[index * TILE..][..TILE]);
            }
        }
        for (code, line) in lines.chunks_exact_mut(LINE).take(MAX_CODES).enumerate() {
            line.fill(code as i16);
        }
        let mut sums = [[0; TILE]; MAX_BATCH / TILE];
        let (mut tree, mut top, mut exit) = (0, 0, 0);
        for &group in &parts.groups {
            let trees = &parts.trees[tree..group as usize];
            for (tile, sums) in tiles.chunks_exact(tile_len).zip(&mut sums[..n_tiles]) {
                let mut walks = Walks { isa, parts, tile, lines, top, exit };
                trees.iter().for_each(|tree| walks.subtract(tree, sums));
            }
            if let Some(last) = trees.last() {
                (top, exit) = (last.tops_end as usize, last.exits_end as usize);
            }
            tree = group as usize;
        }
        out.copy_from_slice(&sums.as_flattened()[..out.len()]);
    }
}

fn is_place(parts: &Parts, place: u16) -> bool {
    usize::from(place).is_multiple_of(TILE) && usize::from(place) < parts.n_features * TILE
}

/// Checks that children are nodes, leaves stay, and places are those of features.
fn check_nodes(parts: &Parts) {
    let n_nodes = parts.nodes.len();
    let leads = |node: usize, left: u32, is_largest: bool| {
        (left as usize + 1) < n_nodes || (left as usize == node && is_largest)
    };
    let is_fine = match &parts.nodes {
        Nodes::Axis(nodes) => nodes.iter().enumerate().all(|(k, node)| {
            leads(k, node.left, node.threshold == i16::MAX) && is_place(parts, node.place)
        }),
        Nodes::Pair(nodes) => nodes.iter().enumerate().all(|(k, node)| {
            leads(k, node.left, node.threshold == i32::MAX)
                && node.weights != [i16::MIN; 2]
                && node.places.into_iter().all(|place| is_place(parts, place))
        }),
        Nodes::Many(nodes) => {
            assert_eq!(nodes.thresholds.len(), n_nodes, "a threshold for every node");
            assert_eq!(nodes.terms.len(), n_nodes * nodes.width, "as many terms for every node");
            let left = nodes.left.iter().zip(&nodes.thresholds).enumerate();
            left.into_iter().all(|(k, (&left, &t))| leads(k, left, t == i64::MAX))
                && nodes.terms.iter().all(|&(place, _)| is_place(parts, place))
        }
    };
    assert!(is_fine, "walks stay within nodes and tile");
    let weights = |node: &TopNode| node.weights != [i16::MIN; 2];
    assert!(parts.tops.iter().all(weights), "sums of 32 bits");
}

/// One tile on its way through the trees of a group.
struct Walks<'a> {
    isa: Isa,
    parts: &'a Parts,
    tile: &'a [i16],
    lines: &'a mut [i16],
    /// Where the top of the next tree begins.
    top: usize,
    /// Where the meanings of its codes begin.
    exit: usize,
}

impl Walks<'_> {
    /// Subtracts the values of the leaves that the events reach in the next tree.
    #[inline]
    fn subtract(&mut self, tree: &Tree, sums: &mut [Score; TILE]) {
        let parts = self.parts;
        let tops = &parts.tops[self.top..tree.tops_end as usize];
        let exits = &parts.exits[self.exit..tree.exits_end as usize];
        (self.top, self.exit) = (tree.tops_end as usize, tree.exits_end as usize);
        let mut at = [exits[0]; TILE];
        if !tops.is_empty() {
            self.enter(tops, exits, &mut at);
        }
        if tree.depth == 0 {
            sums.iter_mut()
                .zip(at)
                .for_each(|(sum, value)| *sum = sum.wrapping_sub(value.cast_signed()));
            return;
        }
        for (part, at) in at.as_chunks_mut::<FLIGHT>().0.iter_mut().enumerate() {
            let tile = Tile(&self.tile[part * FLIGHT..]);
            match &parts.nodes {
                Nodes::Axis(nodes) => walk(AxisStep { nodes, tile }, tree.depth, at),
                Nodes::Pair(nodes) => walk(PairStep { nodes, tile }, tree.depth, at),
                Nodes::Many(nodes) => walk(ManyStep { nodes, tile }, tree.depth, at),
            }
        }
        for (sum, at) in sums.iter_mut().zip(at) {
            *sum = sum.wrapping_sub(parts.values[at as usize]);
        }
    }

    /// Evaluates the top of a tree.
    #[inline]
    fn enter(&mut self, tops: &[TopNode], exits: &[u32], at: &mut [u32; TILE]) {
        let is_axis = matches!(self.parts.nodes, Nodes::Axis(_));
        for (half, at) in at.as_chunks_mut::<LINE>().0.iter_mut().enumerate() {
            let top = dense::Top {
                nodes: tops,
                tile: &self.tile[half * LINE..],
                lines: &mut *self.lines,
                exits,
            };
            dense::enter(self.isa, top, is_axis, at);
        }
    }
}

/// A tile from the first of some events on: so that which event it is stays a constant.
#[derive(Clone, Copy)]
struct Tile<'a>(&'a [i16]);

impl Tile<'_> {
    /// A feature of the k-th of these events.
    ///
    /// # Safety
    /// The place is that of a feature, and there are more than k events.
    #[inline(always)]
    unsafe fn get(self, place: u16, k: usize) -> i32 {
        // SAFETY: places are multiples of the tile's events below the length of the tile, and the
        // caller guarantees the event to be one of the tile.
        let x = unsafe { self.0.get_unchecked(usize::from(place) + k) };
        i32::from(*x)
    }
}

/// What leads from a node to a child.
trait Step: Copy {
    /// # Safety
    /// The node is one of the program's, and k below [`FLIGHT`].
    unsafe fn step(self, at: u32, k: usize) -> u32;
}

#[derive(Clone, Copy)]
struct AxisStep<'a> {
    nodes: &'a [AxisNode],
    tile: Tile<'a>,
}

impl Step for AxisStep<'_> {
    #[inline(always)]
    unsafe fn step(self, at: u32, k: usize) -> u32 {
        // SAFETY: the caller guarantees a node.
        let node = unsafe { self.nodes.get_unchecked(at as usize) };
        // SAFETY: a checked place; the caller guarantees the event.
        let x = unsafe { self.tile.get(node.place, k) };
        node.left + u32::from(x > i32::from(node.threshold))
    }
}

#[derive(Clone, Copy)]
struct PairStep<'a> {
    nodes: &'a [PairNode],
    tile: Tile<'a>,
}

impl Step for PairStep<'_> {
    #[inline(always)]
    unsafe fn step(self, at: u32, k: usize) -> u32 {
        // SAFETY: the caller guarantees a node.
        let node = unsafe { self.nodes.get_unchecked(at as usize) };
        // SAFETY: a checked place; the caller guarantees the event.
        let a = unsafe { self.tile.get(node.places[0], k) };
        // SAFETY: likewise.
        let b = unsafe { self.tile.get(node.places[1], k) };
        // The weights are not both the smallest: no sum passes the ends of an i32.
        let sum = (a * i32::from(node.weights[0])).wrapping_add(b * i32::from(node.weights[1]));
        node.left + u32::from(sum > node.threshold)
    }
}

#[derive(Clone, Copy)]
struct ManyStep<'a> {
    nodes: &'a ManyNodes,
    tile: Tile<'a>,
}

impl Step for ManyStep<'_> {
    #[inline(always)]
    unsafe fn step(self, at: u32, k: usize) -> u32 {
        let (nodes, at) = (self.nodes, at as usize);
        let mut sum = 0;
        for &(place, weight) in &nodes.terms[at * nodes.width..][..nodes.width] {
            // SAFETY: a checked place; the caller guarantees the event.
            let x = unsafe { self.tile.get(place, k) };
            sum += i64::from(x * i32::from(weight));
        }
        nodes.left[at] + u32::from(sum > nodes.thresholds[at])
    }
}

/// Walks from nodes to leaves, at most `depth` levels down. Compiled for every processor: more
/// instructions would tempt the compiler into gathers.
#[inline(never)]
fn walk<S: Step>(step: S, depth: u32, at: &mut [u32; FLIGHT]) {
    let mut now = *at;
    let mut left = depth;
    while left > ROUND {
        for _ in 1..ROUND {
            for (k, at) in now.iter_mut().enumerate() {
                // SAFETY: walks begin at nodes and lead to nodes.
                *at = unsafe { step.step(*at, k) };
            }
        }
        let mut moved = 0;
        for (k, at) in now.iter_mut().enumerate() {
            // SAFETY: as above.
            let next = unsafe { step.step(*at, k) };
            moved |= *at ^ next;
            *at = next;
        }
        left = if moved == 0 { 0 } else { left - ROUND };
    }
    for _ in 0..left {
        for (k, at) in now.iter_mut().enumerate() {
            // SAFETY: as above.
            *at = unsafe { step.step(*at, k) };
        }
    }
    *at = now;
}
