//! Machine code in memory that may be executed, and calls of it.
//!
//! What [`assembler`](super::assembler) writes is copied to pages of its own, which are then no
//! longer writable but executable: never both at once. Systems can forbid that; then there is no
//! such code, and forests are evaluated by streams of operations.

use std::sync::Arc;

use memmap2::{Mmap, MmapMut};

use super::assembler::{Assembler, Op};
use super::isa::Isa;

/// Functions in machine code, each of which computes from lines of the working memory.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    memory: Arc<Mmap>,
    /// Where the functions begin.
    entries: Vec<usize>,
    isa: Isa,
    /// Crossings in a word.
    lanes: usize,
    /// Lines of memory that it asks for.
    n_lines: usize,
}

impl Code {
    /// One function for each list of operations. `None` if none can be written for these
    /// instructions, or the system does not allow it.
    ///
    /// # Panics
    /// If an operation names a line of `n_lines` or above, or addresses of lines pass 31 bits.
    pub(crate) fn new(isa: Isa, functions: &[Vec<Op>], n_lines: usize) -> Option<Code> {
        assert!(n_lines < 1 << 25, "distances of 32 bits with a sign");
        let mut uses = vec![0; n_lines];
        for line in functions.iter().flatten().filter_map(|op| op.line()) {
            uses[line as usize] += 1;
        }
        let mut assembler = Assembler::new(isa, &uses, functions.iter().map(Vec::len).sum())?;
        functions.iter().for_each(|ops| assembler.function(ops));
        let lanes = assembler.lanes();
        let (bytes, entries) = assembler.finish();
        let mut memory = MmapMut::map_anon(bytes.len().max(1)).ok()?;
        memory[..bytes.len()].copy_from_slice(&bytes);
        let memory = Arc::new(memory.make_exec().ok()?);
        Some(Code { memory, entries, isa, lanes, n_lines })
    }

    /// Bytes of instructions.
    pub(crate) fn n_bytes(&self) -> usize {
        self.memory.len()
    }

    /// Which instructions it consists of.
    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// Crossings in a word.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// Lines of memory that it asks for.
    pub(crate) fn n_lines(&self) -> usize {
        self.n_lines
    }

    /// Calls the k-th function, if there are so many.
    ///
    /// # Safety
    /// `memory` has room for so many words of `lanes` crossings as the code asks for, aligned to
    /// their size, and nobody else has a reference to it.
    pub(crate) unsafe fn run(&self, k: usize, memory: *mut u64) {
        let Some(&entry) = self.entries.get(k) else { return };
        let function = self.memory[entry..].as_ptr();
        #[cfg(target_arch = "x86_64")]
        {
            type Function = unsafe extern "sysv64" fn(*mut u64);
            // SAFETY: a function of this convention begins there: the assembler wrote it.
            let function = unsafe { std::mem::transmute::<*const u8, Function>(function) };
            // SAFETY: the processor has its instructions, of which the instruction set is the
            // proof; it touches no lines but those that were counted, and the caller guarantees
            // them.
            unsafe { function(memory) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("no code is written for this processor: {function:?}, {memory:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::assembler::Register;
    use crate::rows::AlignedLanes;
    use crate::testing::Random;

    /// More than bases reach, so that all ways to name a line occur.
    const N_LINES: usize = 5000;
    const WORDS: usize = 8;

    /// What operations do, one after the other.
    fn interpret(ops: &[Op], memory: &mut [[u64; WORDS]], registers: &mut [[u64; WORDS]; 32]) {
        let zip = |a: [u64; WORDS], b: [u64; WORDS], f: fn(u64, u64) -> u64| {
            std::array::from_fn(|k| f(a[k], b[k]))
        };
        let xor = |a, b| zip(a, b, |a, b| a ^ b);
        for &op in ops {
            let r = |register: Register| registers[usize::from(register)];
            let m = |line: u32| memory[line as usize];
            let (to, word) = match op {
                Op::Load { to, line } => (to, m(line)),
                Op::Store { line, from } => {
                    memory[line as usize] = r(from);
                    continue;
                }
                Op::Copy { to, from } => (to, r(from)),
                Op::And { to, a, line } => (to, zip(r(a), m(line), |a, b| a & b)),
                Op::AndNot { to, a, line } => (to, zip(r(a), m(line), |a, b| a & !b)),
                Op::Xor { to, a, b } => (to, xor(r(a), r(b))),
                Op::XorBoth { to, a, b } => (to, xor(r(to), xor(r(a), r(b)))),
                Op::XorAnd { to, a, line } => (to, xor(r(to), zip(r(a), m(line), |a, b| a & b))),
                Op::XorAndNot { to, a, line } => {
                    (to, xor(r(to), zip(r(a), m(line), |a, b| a & !b)))
                }
            };
            registers[usize::from(to)] = word;
        }
    }

    fn random_op(random: &mut Random, n_registers: usize) -> Op {
        let mut register = || random.below(n_registers as u64) as Register;
        let (to, a) = (register(), register());
        // As the assembler asks for.
        let b = std::iter::repeat_with(register).find(|&b| b != to).unwrap();
        let line = random.below(N_LINES as u64) as u32;
        match random.below(9) {
            0 => Op::Load { to, line },
            1 => Op::Store { line, from: a },
            2 => Op::Copy { to, from: a },
            3 => Op::And { to, a, line },
            4 => Op::AndNot { to, a, line },
            5 => Op::Xor { to, a, b },
            6 => Op::XorBoth { to, a, b },
            7 => Op::XorAnd { to, a, line },
            _ => Op::XorAndNot { to, a, line },
        }
    }

    /// Loads all registers, does some random operations, and stores all registers.
    fn random_ops(random: &mut Random, n_registers: usize, n: usize) -> Vec<Op> {
        let registers = 0..n_registers as Register;
        let loads = registers.clone().map(|to| Op::Load { to, line: 300 * u32::from(to) % 4999 });
        let mut ops: Vec<Op> = loads.collect();
        ops.extend((0..n).map(|_| random_op(random, n_registers)));
        ops.extend(registers.map(|from| Op::Store { line: u32::from(from), from }));
        ops
    }

    #[test]
    fn random_operations_on_all_registers_and_lines_do_what_they_say() {
        let mut random = Random(1);
        for isa in Isa::available() {
            let Some(n_registers) = Assembler::n_registers(isa) else { continue };
            // The last is far longer than a processor keeps near, so it is prefetched.
            for n in [0, 1, 100, 100, 100, 3000, 100_000] {
                let functions = [n, 50].map(|n| random_ops(&mut random, n_registers, n));
                let code = Code::new(isa, &functions, N_LINES).expect("code may be executed here");
                let words = code.lanes() / 64;
                let mut memory = AlignedLanes::new(N_LINES * 32);
                memory.words_mut().iter_mut().for_each(|word| *word = random.next());
                let mut lines = vec![[0; WORDS]; N_LINES];
                for (line, from) in lines.iter_mut().zip(memory.words_mut().chunks(words)) {
                    line[..words].copy_from_slice(from);
                }
                for k in [0, 1, 2] {
                    // SAFETY: so many words of at most 512 crossings, aligned to 64 bytes.
                    unsafe { code.run(k, memory.words_mut().as_mut_ptr()) };
                }
                functions.iter().for_each(|ops| interpret(ops, &mut lines, &mut [[0; WORDS]; 32]));
                for (k, (line, found)) in
                    lines.iter().zip(memory.words_mut().chunks(words)).enumerate()
                {
                    assert_eq!(&line[..words], found, "{}, {n} operations, line {k}", isa.name());
                }
            }
        }
    }

    #[test]
    fn portable_code_is_not_written() {
        let portable = Isa::from_name("portable").unwrap();
        assert!(Code::new(portable, &[Vec::new()], 1).is_none());
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn lines_beyond_the_memory_are_refused() {
        let _ = Code::new(Isa::best(), &[vec![Op::Load { to: 0, line: 8 }]], 8);
    }
}
