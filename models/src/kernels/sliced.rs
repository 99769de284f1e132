//! Evaluates a forest turned on its side: one word holds one bit for each of up to 512 crossings.
//!
//! ```text
//! columns ─► codes ─► bit planes ─► nibble masks ─► masks     "x > t" for every split that counts
//! masks   ─► reach                                            "gets to this node"
//! reach   ─► counts by weight ─► planes of the sum ─► scores
//! ```
//!
//! Every step is a stream of operations of one fixed shape without a branch on the data, written
//! down once by [`forest::sliced`](crate::forest::sliced) as a [`Program`]: this file only
//! executes it, and [`Program::new`] checks that it can do no harm. Results of a stream go to
//! consecutive lines, so an operation names its operands only.
//!
//! **Numbers of lines.** The working memory is an array of words, here called lines. Operands
//! are the byte offsets of lines of 512 crossings, which take no arithmetic to use; narrower words
//! halve them once or more often. So one program serves every width, and narrow words use less
//! memory.

use super::code::Code;
use super::isa::{Isa, Kernel, Width};
use super::word::{Word, transpose};
use crate::rows::{AlignedLanes, LANE_STRIDE, MAX_BATCH, Rows};
use crate::scorer::Score;

/// Line number times 64: where the line begins if its words are of 512 crossings.
pub(crate) type Operand = u32;
/// Operand of a line.
pub(crate) const fn operand(line: usize) -> Operand {
    line as u32 * 64
}

/// Two operands as one integer: the first in the lower half. Half as many loads, where loads are
/// what a kernel waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OperandPair(u64);

impl OperandPair {
    pub(crate) const fn new(first: Operand, second: Operand) -> OperandPair {
        OperandPair(first as u64 | (second as u64) << 32)
    }
    #[inline(always)]
    pub(crate) const fn split(self) -> (Operand, Operand) {
        (self.0 as u32, (self.0 >> 32) as u32)
    }
}

/// Nodes of one chunk of reach operations whose children are both kept: two lines each, the right
/// child first. Then come those with only the right child kept, then those with only the left.
/// The shares are those of forests grown on Level-1 data.
pub(crate) const REACH_BOTH: usize = 6;
/// See [`REACH_BOTH`].
pub(crate) const REACH_RIGHT: usize = 2;
/// See [`REACH_BOTH`].
pub(crate) const REACH_LEFT: usize = 4;
/// Operations of a chunk.
pub(crate) const REACH_OPS: usize = REACH_BOTH + REACH_RIGHT + REACH_LEFT;
/// Lines that a chunk writes.
pub(crate) const REACH_LINES: usize = 2 * REACH_BOTH + REACH_RIGHT + REACH_LEFT;
/// Masks of one chunk.
pub(crate) const MASK_CHUNK: usize = 2;
/// How many cache lines ahead masks are prefetched: there are more than level 1 holds.
const MASKS_AHEAD: usize = 16;
/// Lines that one step of a count adds.
pub(crate) const COUNT_STEP: usize = 8;
/// A step of a count: lines in memory, two by two.
pub(crate) type LineStep = [OperandPair; COUNT_STEP / 2];
/// A step of a count: reaches that are not in memory, those in the first operand but not in the
/// second.
pub(crate) type ReachStep = [ReachOp; COUNT_STEP];
/// Most steps of a count that share a line for what they carry.
pub(crate) const CARRY_STEPS: usize = 4;
/// Lines of the state of a count: how often 1, 2, 4, 8 and 16.
pub(crate) const STATE_LINES: usize = 5;

/// Lines of zeros: the state of a count that has not begun.
pub(crate) const ZERO_LINE: usize = 0;
/// A line of ones: the reach of every root.
pub(crate) const ONES_LINE: usize = ZERO_LINE + STATE_LINES;
/// Low nibble > 0…14, then never.
pub(crate) const LOW_LINES: usize = ONES_LINE + 1;
/// Always, then high nibble > 0…14, then never.
pub(crate) const HIGH_LINES: usize = LOW_LINES + 16;
/// First line of the masks.
pub(crate) const MASK_LINES: usize = HIGH_LINES + 17;

/// 16-bit values as bytes: `clamp(x − offset, 0, 255)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Which feature.
    pub feature: u32,
    /// What becomes byte 0.
    pub offset: i16,
    /// Where its chunks of masks end; they begin where those of the window before end.
    pub chunks_end: u32,
}

/// A mask "byte > 16 high + low": first the line "high nibble > high − 1", after which lies "high
/// nibble > high", then "low nibble > low".
pub(crate) type MaskOp = OperandPair;

/// The crossings that get to a child: those that get to its parent (first operand) and pass the
/// mask (second operand), or do not. The sibling's reach is as good as a mask, if it is in memory.
pub(crate) type ReachOp = OperandPair;

/// Counts of one weight: continues from a state, adds the lines of its steps, or what they lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// First line of the state that it continues from.
    pub from: Operand,
    /// First line of the state that it leaves behind.
    pub to: Operand,
    /// Where its steps over lines end: first those that count the ones of lines, then those that
    /// count their zeros. They begin where those of the count before end.
    pub lines_end: [u32; 2],
    /// The same for its steps over reaches that are not in memory.
    pub reaches_end: [u32; 2],
}

/// Chunks of reach operations that write one after the other, and what is counted after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// First line that its reach operations write.
    pub line: Operand,
    /// Where its chunks of reach operations end.
    pub reach_end: u32,
    /// Where its counts end.
    pub counts_end: u32,
}

/// What a [`Program`] is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub n_features: usize,
    pub windows: Vec<Window>,
    pub mask_chunks: Vec<[MaskOp; MASK_CHUNK]>,
    pub reach: Vec<[ReachOp; REACH_OPS]>,
    /// Instead of chunks of reach operations: machine code, the k-th function for the k-th group.
    pub code: Option<Code>,
    pub line_steps: Vec<LineStep>,
    pub reach_steps: Vec<ReachStep>,
    pub counts: Vec<Count>,
    pub groups: Vec<Group>,
    /// Bit planes of the sum, lowest first.
    pub planes: Vec<Operand>,
    /// What every crossing has.
    pub constant: i32,
    /// First line of what the counts carry: one for every [`CARRY_STEPS`] steps of one kind, in
    /// order.
    pub carry_line: usize,
    pub n_lines: usize,
}

impl Parts {
    /// Lines that the counts carry.
    pub(crate) fn n_carries(&self) -> usize {
        let (mut lines_begin, mut reaches_begin) = (0, 0);
        let mut n = 0;
        for count in &self.counts {
            for (begin, ends) in
                [(&mut lines_begin, count.lines_end), (&mut reaches_begin, count.reaches_end)]
            {
                for end in ends {
                    n += (end - *begin).div_ceil(CARRY_STEPS as u32);
                    *begin = end;
                }
            }
        }
        n as usize
    }
}

/// A forest as streams of operations, found to stay within its working memory.
#[derive(Clone, Debug)]
pub(crate) struct Program(Parts);

impl Program {
    /// The program of these parts.
    ///
    /// # Panics
    /// If an operation would leave the working memory or a column: a mistake in the program that
    /// wrote it.
    pub(crate) fn new(parts: Parts) -> Program {
        let n_lines = parts.n_lines;
        assert!(n_lines < 1 << 26, "operands fit 32 bits");
        let inside = |op: &Operand| op.is_multiple_of(64) && ((op / 64) as usize) < n_lines;
        let fits = |line: usize, n: usize| line + n <= n_lines;
        let run = |op: &Operand, n: usize| inside(op) && fits((op / 64) as usize, n);
        check_ends(parts.windows.iter().map(|w| w.chunks_end), parts.mask_chunks.len());
        check_ends(parts.groups.iter().map(|g| g.reach_end), parts.reach.len());
        check_ends(parts.groups.iter().map(|g| g.counts_end), parts.counts.len());
        check_ends(parts.counts.iter().flat_map(|c| c.lines_end), parts.line_steps.len());
        check_ends(parts.counts.iter().flat_map(|c| c.reaches_end), parts.reach_steps.len());
        assert!(parts.windows.iter().all(|w| (w.feature as usize) < parts.n_features));
        let pair = |pair: &OperandPair| {
            let (first, second) = pair.split();
            inside(&first) && inside(&second)
        };
        let mask = |op: &MaskOp| pair(op) && run(&op.split().0, 2);
        assert!(parts.mask_chunks.as_flattened().iter().all(mask), "operands of masks");
        assert!(fits(MASK_LINES, MASK_CHUNK * parts.mask_chunks.len()), "room for the masks");
        let mut begin = 0;
        for group in &parts.groups {
            let chunks = (group.reach_end - begin) as usize;
            assert!(run(&group.line, REACH_LINES * chunks), "room for the reaches");
            begin = group.reach_end;
        }
        assert!(parts.reach.as_flattened().iter().all(pair), "operands of reaches");
        let mut counted =
            parts.reach_steps.as_flattened().iter().chain(parts.line_steps.as_flattened());
        assert!(counted.all(pair), "operands of counts");
        let states = |c: &Count| run(&c.from, STATE_LINES) && run(&c.to, STATE_LINES);
        assert!(parts.counts.iter().all(states), "states of counts");
        assert!(fits(parts.carry_line, parts.n_carries()), "room for the carries");
        assert!(parts.planes.iter().all(inside), "planes");
        assert!(parts.planes.len() <= 32, "sums of 32 bits");
        let has_room = |code: &Code| parts.reach.is_empty() && code.n_lines() <= n_lines;
        assert!(parts.code.as_ref().is_none_or(has_room), "room for what code writes");
        Program(parts)
    }

    /// The streams, to be counted and shown.
    pub(crate) fn parts(&self) -> &Parts {
        &self.0
    }

    /// Lanes of working memory that it needs.
    pub(crate) fn n_lanes(&self) -> usize {
        self.0.n_lines * MAX_BATCH / 16 + MAX_BATCH / 2
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
        assert_eq!(rows.n_features(), self.0.n_features, "rows of another specification");
        assert_eq!(out.len(), rows.n_events(), "one score per event");
        assert!(memory.lanes().len() >= self.n_lanes(), "memory of another program");
        let lanes = rows.lanes_padded();
        let is_wide = match &self.0.code {
            Some(code) => {
                assert_eq!(code.isa(), isa, "code of other instructions");
                code.lanes() > isa.narrow_lanes()
            }
            None => out.len() > isa.narrow_lanes(),
        };
        let width = if is_wide { Width::Wide } else { Width::Narrow };
        isa.run(Evaluation { program: &self.0, lanes, memory: memory.words_mut(), out }, width);
    }
}

fn check_ends(mut ends: impl Iterator<Item = u32>, last: usize) {
    let mut before = 0;
    assert!(ends.all(|end| std::mem::replace(&mut before, end) <= end), "ends ascend");
    assert_eq!(before as usize, last, "the last end is the end");
}

/// One batch, all sizes checked.
struct Evaluation<'a> {
    program: &'a Parts,
    lanes: &'a [i16],
    memory: &'a mut [u64],
    out: &'a mut [Score],
}

impl Kernel for Evaluation<'_> {
    #[inline(always)]
    fn run<W: Word>(self, proof: W::Proof) {
        let Evaluation { program, lanes, memory, out } = self;
        assert!(program.code.as_ref().is_none_or(|code| code.lanes() == W::LANES), "their words");
        let memory = Memory::<W> { proof, base: memory.as_mut_ptr() };
        for line in ZERO_LINE..ONES_LINE {
            memory.set(operand(line), W::splat(proof, 0));
        }
        memory.set(operand(ONES_LINE), W::splat(proof, 0xff));
        memory.set(operand(LOW_LINES + 15), W::splat(proof, 0));
        memory.set(operand(HIGH_LINES), W::splat(proof, 0xff));
        memory.set(operand(HIGH_LINES + 16), W::splat(proof, 0));
        for (part, out) in out.chunks_mut(W::LANES).enumerate() {
            compare(&memory, program, &lanes[part * W::LANES..]);
            reach_and_count(&memory, program);
            expand(&memory, program, out);
        }
    }
}

/// The working memory. Every operand that is used comes from a checked [`Program`] or from a
/// constant below [`MASK_LINES`], and the memory has the size that the program asks for.
struct Memory<W: Word> {
    proof: W::Proof,
    base: *mut u64,
}

impl<W: Word> Memory<W> {
    #[inline(always)]
    fn place(&self, operand: Operand) -> *mut u64 {
        self.base.wrapping_byte_add(operand as usize / (MAX_BATCH / W::LANES))
    }
    #[inline(always)]
    fn get(&self, operand: Operand) -> W {
        // SAFETY: the operand is that of a line of the memory, as said at the type.
        unsafe { W::load(self.proof, self.place(operand)) }
    }
    /// The operands of a pair.
    #[inline(always)]
    fn split(pair: &OperandPair) -> (Operand, Operand) {
        // Volatile, or compilers load several pairs at once and then take the vector apart.
        // SAFETY: reading what a reference points to.
        unsafe { std::ptr::read_volatile(pair) }.split()
    }
    /// Both lines of a pair.
    #[inline(always)]
    fn get_pair(&self, pair: &OperandPair) -> (W, W) {
        let (first, second) = Self::split(pair);
        (self.get(first), self.get(second))
    }
    #[inline(always)]
    fn mask(&self, op: &MaskOp) -> W {
        let (high, low) = Self::split(op);
        let (reached, passed) = (self.get(high), self.get(high + operand(1)));
        passed.or_and(reached, self.get(low))
    }
    #[inline(always)]
    fn right(&self, op: &ReachOp) -> W {
        let (parent, mask) = self.get_pair(op);
        parent.and(mask)
    }
    #[inline(always)]
    fn left(&self, op: &ReachOp) -> W {
        let (parent, mask) = self.get_pair(op);
        parent.and_not(mask)
    }
    /// Writes to a place; returns the next one.
    #[inline(always)]
    fn push(&self, to: *mut u64, word: W) -> *mut u64 {
        // SAFETY: a stream of results begins at a line of the memory, and the program was checked
        // to have room for all of them.
        unsafe { word.store(to) };
        to.wrapping_add(W::LANES / 64)
    }
    #[inline(always)]
    fn set(&self, operand: Operand, word: W) {
        // SAFETY: the operand is that of a line of the memory, as said at the type, and nobody
        // else has a reference to it while the evaluation runs.
        unsafe { word.store(self.place(operand)) }
    }
}

/// Lines that are counted in one step.
trait CountStep {
    fn read<W: Word>(&self, memory: &Memory<W>) -> [W; COUNT_STEP];
}

impl CountStep for LineStep {
    #[inline(always)]
    fn read<W: Word>(&self, memory: &Memory<W>) -> [W; COUNT_STEP] {
        let [ab, cd, ef, gh] = self;
        let ((a, b), (c, d)) = (memory.get_pair(ab), memory.get_pair(cd));
        let ((e, f), (g, h)) = (memory.get_pair(ef), memory.get_pair(gh));
        [a, b, c, d, e, f, g, h]
    }
}

impl CountStep for ReachStep {
    #[inline(always)]
    fn read<W: Word>(&self, memory: &Memory<W>) -> [W; COUNT_STEP] {
        let [a, b, c, d, e, f, g, h] = self;
        let (a, b, c, d) = (memory.left(a), memory.left(b), memory.left(c), memory.left(d));
        [a, b, c, d, memory.left(e), memory.left(f), memory.left(g), memory.left(h)]
    }
}

/// Writes the masks of all windows.
#[inline(always)]
fn compare<W: Word>(memory: &Memory<W>, program: &Parts, lanes: &[i16]) {
    let mut begin = 0;
    let mut out = memory.place(operand(MASK_LINES));
    for (k, window) in program.windows.iter().enumerate() {
        let column = &lanes[window.feature as usize * LANE_STRIDE..][..W::LANES];
        let mut planes = [W::splat(memory.proof, 0); 8];
        for (k, plane) in planes.iter_mut().enumerate() {
            // SAFETY: an eighth of the lanes, the k-th of eight.
            *plane = unsafe {
                W::narrow(
                    memory.proof,
                    column.as_ptr().wrapping_add(k * W::LANES / 8),
                    window.offset,
                )
            };
        }
        if let Some(next) = program.windows.get(k + 1) {
            let next = &lanes[next.feature as usize * LANE_STRIDE..][..W::LANES];
            (0..W::LANES / 32).for_each(|line| W::prefetch(&next[32 * line]));
        }
        transpose(memory.proof, &mut planes);
        let [p0, p1, p2, p3, p4, p5, p6, p7] = planes;
        larger_nibble(memory, operand(LOW_LINES), [p0, p1, p2, p3]);
        larger_nibble(memory, operand(HIGH_LINES + 1), [p4, p5, p6, p7]);
        for chunk in &program.mask_chunks[begin..window.chunks_end as usize] {
            for line in 0..MASK_CHUNK * W::LANES / MAX_BATCH {
                W::prefetch_to_write(out.wrapping_add(8 * (MASKS_AHEAD + line)));
            }
            for op in chunk {
                out = memory.push(out, memory.mask(op));
            }
        }
        begin = window.chunks_end as usize;
    }
}

/// Writes "nibble > 0" to "nibble > 14".
#[inline(always)]
fn larger_nibble<W: Word>(memory: &Memory<W>, out: Operand, planes: [W; 4]) {
    let [p0, p1, p2, p3] = planes;
    let low = [p0.or(p1), p1, p0.and(p1)];
    let high = [p2.or(p3), p3, p2.and(p3)];
    for (k, low) in low.into_iter().enumerate() {
        let at = out + operand(k);
        memory.set(at, high[0].or(low));
        memory.set(at + operand(4), high[1].or_and(high[0], low));
        memory.set(at + operand(8), high[2].or_and(high[1], low));
        memory.set(at + operand(12), high[2].and(low));
    }
    for (k, high) in high.into_iter().enumerate() {
        memory.set(out + operand(4 * k + 3), high);
    }
}

/// Writes the reaches of each group of chunks, and counts how often each weight is reached.
#[inline(always)]
fn reach_and_count<W: Word>(memory: &Memory<W>, program: &Parts) {
    let (mut reach_begin, mut counts_begin) = (0, 0);
    let (mut lines_begin, mut reaches_begin) = (0, 0);
    let mut carry = memory.place(operand(program.carry_line));
    for (k, group) in program.groups.iter().enumerate() {
        if let Some(code) = &program.code {
            // SAFETY: the program has as many lines as the code asks for, the memory is as said at
            // its type, and these are words of the code's width.
            unsafe { code.run(k, memory.base) };
        }
        let mut out = memory.place(group.line);
        for chunk in &program.reach[reach_begin..group.reach_end as usize] {
            for op in &chunk[..REACH_BOTH] {
                let (parent, mask) = memory.get_pair(op);
                out = memory.push(out, parent.and(mask));
                out = memory.push(out, parent.and_not(mask));
            }
            for op in &chunk[REACH_BOTH..REACH_BOTH + REACH_RIGHT] {
                out = memory.push(out, memory.right(op));
            }
            for op in &chunk[REACH_BOTH + REACH_RIGHT..] {
                out = memory.push(out, memory.left(op));
            }
        }
        for count in &program.counts[counts_begin..group.counts_end as usize] {
            let mut state = State::load(memory, count.from);
            let [lines, lines_not] = count.lines_end.map(|end| end as usize);
            let [reaches, reaches_not] = count.reaches_end.map(|end| end as usize);
            let steps = &program.line_steps;
            carry = state.add::<false, _>(memory, &steps[lines_begin..lines], carry);
            carry = state.add::<true, _>(memory, &steps[lines..lines_not], carry);
            let steps = &program.reach_steps;
            carry = state.add::<false, _>(memory, &steps[reaches_begin..reaches], carry);
            carry = state.add::<true, _>(memory, &steps[reaches..reaches_not], carry);
            state.store(memory, count.to);
            (lines_begin, reaches_begin) = (lines_not, reaches_not);
        }
        reach_begin = group.reach_end as usize;
        counts_begin = group.counts_end as usize;
    }
}

/// How often a weight was reached, modulo 32: bits of weight 1, 2, 4, 8 and 16.
struct State<W>([W; STATE_LINES]);

impl<W: Word> State<W> {
    #[inline(always)]
    fn load(memory: &Memory<W>, from: Operand) -> State<W> {
        let mut state = State([W::splat(memory.proof, 0); STATE_LINES]);
        for (k, bit) in state.0.iter_mut().enumerate() {
            *bit = memory.get(from + operand(k));
        }
        state
    }

    #[inline(always)]
    fn store(self, memory: &Memory<W>, to: Operand) {
        for (k, bit) in self.0.into_iter().enumerate() {
            memory.set(to + operand(k), bit);
        }
    }

    /// Adds the lines of steps (`NOT`: their complements), and writes what it carries from `carry`
    /// on; returns where that ends.
    #[inline(always)]
    fn add<const NOT: bool, S: CountStep>(
        &mut self,
        memory: &Memory<W>,
        steps: &[S],
        mut carry: *mut u64,
    ) -> *mut u64 {
        for steps in steps.chunks(CARRY_STEPS) {
            let mut carried = W::splat(memory.proof, 0);
            for step in steps {
                carried = carried.or(self.add_step::<NOT>(step.read(memory)));
            }
            carry = memory.push(carry, carried);
        }
        carry
    }

    /// Adds eight lines (`NOT`: their complements); returns what counts 32 times. Of
    /// [`CARRY_STEPS`] additions at most one carries so far, because 31 + 4 · 8 is less than twice
    /// 32.
    #[inline(always)]
    fn add_step<const NOT: bool>(&mut self, [a, b, c, d, e, f, g, h]: [W; COUNT_STEP]) -> W {
        let add = if NOT { W::full_add_not } else { W::full_add };
        let [ones, twos, fours, eights, sixteens] = self.0;
        let (ones, two_a) = add(ones, a, b);
        let (ones, two_b) = add(ones, c, d);
        let (twos, four_a) = W::full_add(twos, two_a, two_b);
        let (ones, two_a) = add(ones, e, f);
        let (ones, two_b) = add(ones, g, h);
        let (twos, four_b) = W::full_add(twos, two_a, two_b);
        let (fours, eight) = W::full_add(fours, four_a, four_b);
        let sixteen = eights.and(eight);
        let carry = sixteens.and(sixteen);
        self.0 = [ones, twos, fours, eights.xor(eight), sixteens.xor(sixteen)];
        carry
    }
}

const _: () = assert!(31 + CARRY_STEPS * COUNT_STEP < 2 * 32);

/// Turns the planes of the sum into scores.
#[inline(always)]
fn expand<W: Word>(memory: &Memory<W>, program: &Parts, out: &mut [Score]) {
    out.fill(program.constant.wrapping_neg());
    let mut bytes = [0u8; MAX_BATCH];
    for (place, planes) in program.planes.chunks(8).enumerate() {
        let mut words = [W::splat(memory.proof, 0); 8];
        for (word, &plane) in words.iter_mut().zip(planes) {
            *word = memory.get(plane);
        }
        transpose(memory.proof, &mut words);
        for (k, word) in words.into_iter().enumerate() {
            // SAFETY: the k-th eighth of the bytes.
            unsafe { word.put_bytes(bytes.as_mut_ptr().wrapping_add(k * W::LANES / 8)) };
        }
        // Wrapping: intermediate sums may pass 32 bits, the score does not.
        for (out, &byte) in out.iter_mut().zip(&bytes) {
            *out = out.wrapping_sub(i32::from(byte) << (8 * place));
        }
    }
}
