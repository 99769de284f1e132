//! Writes machine code: operations on words of crossings as instructions of AVX2 and AVX-512.
//!
//! Code that is written for one forest names its registers and addresses itself, so nothing is
//! decoded while it runs and a reach is a register as long as it is needed. What may be said is
//! an [`Op`]; each becomes one instruction of AVX-512, and up to three of AVX2, which has neither
//! logic of three operands nor one that negates what it reads from memory.
//!
//! **Size** is what limits such code: it is read from level 2 at about ten bytes a cycle. With
//! AVX-512, lines within 8 KiB of an address in a register are named by one byte instead of four,
//! so registers point into those blocks of lines that are named most often. Code that does not
//! stay in level 2 asks for what comes 4 KiB later.
//!
//! **Source**: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, sections
//! 2.3 (VEX) and 2.7 (EVEX).

#![cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "other processors execute streams of operations")
)]

use super::isa::Isa;

/// Number of a vector register.
pub(crate) type Register = u8;

/// One operation on words. Lines are those of the working memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// `to = line`
    Load { to: Register, line: u32 },
    /// `line = from`
    Store { line: u32, from: Register },
    /// `to = from`
    Copy { to: Register, from: Register },
    /// `to = a & line`
    And { to: Register, a: Register, line: u32 },
    /// `to = a & !line`
    AndNot { to: Register, a: Register, line: u32 },
    /// `to = a ^ b`
    Xor { to: Register, a: Register, b: Register },
    /// `to ^= a ^ b`, where `b` is not `to`
    XorBoth { to: Register, a: Register, b: Register },
    /// `to ^= a & line`
    XorAnd { to: Register, a: Register, line: u32 },
    /// `to ^= a & !line`
    XorAndNot { to: Register, a: Register, line: u32 },
}

impl Op {
    /// The line that it reads or writes.
    pub(crate) fn line(self) -> Option<u32> {
        match self {
            Op::Load { line, .. }
            | Op::Store { line, .. }
            | Op::And { line, .. }
            | Op::AndNot { line, .. }
            | Op::XorAnd { line, .. }
            | Op::XorAndNot { line, .. } => Some(line),
            Op::Copy { .. } | Op::Xor { .. } | Op::XorBoth { .. } => None,
        }
    }
}

/// Which instructions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavour {
    Avx2,
    Avx512,
}

impl Flavour {
    fn of(isa: Isa) -> Option<Flavour> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => Some(Flavour::Avx2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => Some(Flavour::Avx512),
            _ => None,
        }
    }
}

/// General registers, by number. The first argument is where the memory begins.
const RDI: u8 = 7;
/// Others that can hold an address without a further byte; rsp (4) and r12 cannot.
const BASES: [u8; 13] = [0, 1, 2, 6, 8, 9, 10, 11, 3, 5, 13, 14, 15];
/// Those of them that belong to the caller.
const SAVED: [u8; 5] = [3, 5, 13, 14, 15];
/// Lines that one base reaches, half of them on each side.
const BLOCK: u32 = 256;
/// First line of the first block: those before are near the beginning.
const BLOCKS_BEGIN: u32 = BLOCK / 2;
/// Code of more bytes is prefetched.
const MOST_IN_LEVEL_2: usize = 512 << 10;
/// Bytes of an operation, about.
const OP_BYTES: usize = 7;
/// How far ahead code is prefetched.
const CODE_AHEAD: u32 = 4096;
/// Bytes of code for each prefetch: a cache line.
const CODE_LINE: usize = 64;
/// What AVX2 needs a register for.
const TEMPORARY: Register = 15;

/// Functions of one argument, the working memory, in machine code.
pub(crate) struct Assembler {
    flavour: Flavour,
    /// Registers that point to lines.
    bases: Vec<(u8, u32)>,
    is_prefetched: bool,
    bytes: Vec<u8>,
    /// Where the functions begin.
    entries: Vec<usize>,
}

/// What an instruction reads beside registers: a register, too, or a line.
#[derive(Clone, Copy)]
enum Source {
    Register(Register),
    Line(u32),
}

/// Instructions of both flavours: opcodes in the map 0F with the prefix 66.
const AND: u8 = 0xdb;
const AND_NOT_FIRST: u8 = 0xdf;
const XOR: u8 = 0xef;
const LOAD: u8 = 0x6f;
const STORE: u8 = 0x7f;
/// AVX-512's in the map 0F3A.
const TERNARY: u8 = 0x25;

/// Results of three bits: the register that is written, the second one, the last operand.
const A: u8 = 0xf0;
const B: u8 = 0xcc;
const C: u8 = 0xaa;

impl Assembler {
    /// Vector registers that operations may use, if code can be written for these instructions.
    pub(crate) fn n_registers(isa: Isa) -> Option<usize> {
        Some(match Flavour::of(isa)? {
            Flavour::Avx2 => TEMPORARY.into(),
            Flavour::Avx512 => 32,
        })
    }

    /// Code of so many operations for these instructions; `uses` says how often each line will be
    /// named. `None` where none can be written.
    pub(crate) fn new(isa: Isa, uses: &[u32], n_ops: usize) -> Option<Assembler> {
        let flavour = Flavour::of(isa)?;
        let mut bases = Vec::new();
        if flavour == Flavour::Avx512 {
            let blocks = uses.get(BLOCKS_BEGIN as usize..).unwrap_or(&[]).chunks(BLOCK as usize);
            let mut blocks: Vec<(u32, u32)> =
                blocks.zip(0..).map(|(block, k)| (block.iter().sum(), k)).collect();
            blocks.sort_by_key(|&(n, k)| (std::cmp::Reverse(n), k));
            let middle = |k: u32| BLOCKS_BEGIN + BLOCK * k + BLOCK / 2;
            bases = blocks.iter().zip(BASES).map(|(&(_, k), base)| (base, middle(k))).collect();
        }
        let is_prefetched = n_ops * OP_BYTES > MOST_IN_LEVEL_2;
        Some(Assembler { flavour, bases, is_prefetched, bytes: Vec::new(), entries: Vec::new() })
    }

    /// Crossings in a word.
    pub(crate) fn lanes(&self) -> usize {
        match self.flavour {
            Flavour::Avx2 => 256,
            Flavour::Avx512 => 512,
        }
    }

    /// The machine code, and where its functions begin.
    pub(crate) fn finish(self) -> (Vec<u8>, Vec<usize>) {
        (self.bytes, self.entries)
    }

    /// Writes a function.
    pub(crate) fn function(&mut self, ops: &[Op]) {
        self.entries.push(self.bytes.len());
        // endbr64: where processors check it, functions begin so.
        self.bytes.extend([0xf3, 0x0f, 0x1e, 0xfa]);
        let saved: Vec<u8> =
            SAVED.into_iter().filter(|r| self.bases.iter().any(|(base, _)| base == r)).collect();
        saved.iter().for_each(|&r| self.push_or_pop(0x50, r));
        for (base, line) in self.bases.clone() {
            self.address(base, line);
        }
        let mut line = self.bytes.len() / CODE_LINE;
        for &op in ops {
            self.operation(op);
            let now = self.bytes.len() / CODE_LINE;
            if std::mem::replace(&mut line, now) != now && self.is_prefetched {
                // prefetcht1 [rip + …]
                self.bytes.extend([0x0f, 0x18, 0x15]);
                self.bytes.extend(CODE_AHEAD.to_le_bytes());
            }
        }
        saved.iter().rev().for_each(|&r| self.push_or_pop(0x58, r));
        // vzeroupper, ret.
        self.bytes.extend([0xc5, 0xf8, 0x77, 0xc3]);
    }

    fn operation(&mut self, op: Op) {
        use Source::{Line, Register};
        match op {
            Op::Load { to, line } => self.vector(LOAD, to, 0, Line(line)),
            Op::Store { line, from } => self.vector(STORE, from, 0, Line(line)),
            Op::Copy { to, from } => self.vector(LOAD, to, 0, Register(from)),
            Op::And { to, a, line } => self.vector(AND, to, a, Line(line)),
            Op::Xor { to, a, b } => self.vector(XOR, to, a, Register(b)),
            _ if self.flavour == Flavour::Avx512 => match op {
                Op::AndNot { to, a, line } => self.ternary(B & !C, to, a, Line(line)),
                Op::XorBoth { to, a, b } => self.ternary(A ^ B ^ C, to, a, Register(b)),
                Op::XorAnd { to, a, line } => self.ternary(A ^ (B & C), to, a, Line(line)),
                Op::XorAndNot { to, a, line } => self.ternary(A ^ (B & !C), to, a, Line(line)),
                _ => unreachable!("written above"),
            },
            Op::AndNot { to, a, line } => {
                self.vector(LOAD, TEMPORARY, 0, Line(line));
                self.vector(AND_NOT_FIRST, to, TEMPORARY, Register(a));
            }
            Op::XorBoth { to, a, b } => {
                self.vector(XOR, to, to, Register(a));
                self.vector(XOR, to, to, Register(b));
            }
            Op::XorAnd { to, a, line } => {
                self.vector(AND, TEMPORARY, a, Line(line));
                self.vector(XOR, to, to, Register(TEMPORARY));
            }
            Op::XorAndNot { to, a, line } => {
                self.vector(LOAD, TEMPORARY, 0, Line(line));
                self.vector(AND_NOT_FIRST, TEMPORARY, TEMPORARY, Register(a));
                self.vector(XOR, to, to, Register(TEMPORARY));
            }
        }
    }

    /// An instruction of the map 0F: `register` is written (or stored), `second` read.
    fn vector(&mut self, opcode: u8, register: u8, second: u8, last: Source) {
        match self.flavour {
            Flavour::Avx2 => self.vex(opcode, register, second, last),
            Flavour::Avx512 => self.evex(1, opcode, register, second, last),
        }
    }

    fn ternary(&mut self, table: u8, register: u8, second: u8, last: Source) {
        self.evex(3, TERNARY, register, second, last);
        self.bytes.push(table);
    }

    /// Words of 256 bits. Only the lower sixteen registers exist.
    fn vex(&mut self, opcode: u8, register: u8, second: u8, last: Source) {
        let inverted = |bit: u8| (bit & 1) ^ 1;
        let second = (!second & 15) << 3 | 1 << 2 | 1;
        let extended = matches!(last, Source::Register(r) if r >= 8);
        if extended {
            self.bytes.extend([0xc4, inverted(register >> 3) << 7 | 1 << 6 | 1, second]);
        } else {
            self.bytes.extend([0xc5, inverted(register >> 3) << 7 | second]);
        }
        self.bytes.push(opcode);
        match last {
            Source::Register(r) => self.bytes.push(0xc0 | (register & 7) << 3 | (r & 7)),
            Source::Line(line) => {
                self.bytes.push(0x80 | (register & 7) << 3 | RDI);
                self.bytes.extend((line * 32).to_le_bytes());
            }
        }
    }

    /// Words of 512 bits.
    fn evex(&mut self, map: u8, opcode: u8, register: u8, second: u8, last: Source) {
        let inverted = |bit: u8| (bit & 1) ^ 1;
        let (base, near) = match last {
            Source::Register(r) => (r, None),
            Source::Line(line) => match self.nearest(line) {
                Some((base, distance)) => (base, Some(distance)),
                None => (RDI, None),
            },
        };
        // The fourth bit of a register beside others; addresses have no index.
        let fourth = if matches!(last, Source::Register(_)) { base >> 4 } else { 0 };
        self.bytes.extend([
            0x62,
            inverted(register >> 3) << 7
                | inverted(fourth) << 6
                | inverted(base >> 3) << 5
                | inverted(register >> 4) << 4
                | map,
            (!second & 15) << 3 | 1 << 2 | 1,
            2 << 5 | inverted(second >> 4) << 3,
            opcode,
        ]);
        let fields = (register & 7) << 3 | (base & 7);
        match (last, near) {
            (Source::Register(_), _) => self.bytes.push(0xc0 | fields),
            // Distances of one byte count lines.
            (Source::Line(_), Some(distance)) => {
                self.bytes.extend([0x40 | fields, distance as u8]);
            }
            (Source::Line(line), None) => {
                self.bytes.push(0x80 | fields);
                self.bytes.extend((line * 64).to_le_bytes());
            }
        }
    }

    /// A register that points to fewer than 128 lines from a line, and how far it is from there.
    fn nearest(&self, line: u32) -> Option<(u8, i8)> {
        let bases = std::iter::once((RDI, 0)).chain(self.bases.iter().copied());
        bases.into_iter().find_map(|(base, at)| {
            let distance = i8::try_from(i64::from(line) - i64::from(at)).ok()?;
            Some((base, distance))
        })
    }

    /// `lea base, [rdi + 64 line]`
    fn address(&mut self, base: u8, line: u32) {
        self.bytes.extend([0x48 | (base >> 3) << 2, 0x8d, 0x80 | (base & 7) << 3 | RDI]);
        self.bytes.extend((line * 64).to_le_bytes());
    }

    fn push_or_pop(&mut self, opcode: u8, register: u8) {
        if register >= 8 {
            self.bytes.push(0x41);
        }
        self.bytes.push(opcode | (register & 7));
    }
}
