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
    /// If an operation names a line of `n_lines` or above.
    pub(crate) fn new(isa: Isa, functions: &[Vec<Op>], n_lines: usize) -> Option<Code> {
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
