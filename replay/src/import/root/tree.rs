//! A tree's description: its branches, what their values are, and where their baskets stand.
//!
//! Read by hand for the versions that ROOT 6 and uproot write; their layout has been the same since
//! 2014 (TTree 19, 20; TBranch 11, 12, 13; TLeaf 2). Branches with several leaves, with branches of
//! their own or of classes (`TBranchElement`) are kept by name with the reason why they cannot be read.
//!
//! **Source**: ROOT `tree/tree/inc/{TTree,TBranch,TLeaf}.h`; `TBufferFile::ReadObjectAny`.

use std::collections::HashMap;

use super::bytes::{Bytes, Malformed, Read};

const BYTE_COUNT: u32 = 0x4000_0000;
const NEW_CLASS: u32 = 0xFFFF_FFFF;
const CLASS: u32 = 0x8000_0000;
/// Added to the places that objects and classes are referred to by.
const MAP_OFFSET: usize = 2;
/// Leaves that count a leaf that counts a leaf …
const DEPTH_MAX: usize = 4;

/// A tree.
#[derive(Debug)]
pub(super) struct Tree {
    pub n_entries: u64,
    pub branches: Vec<Branch>,
}

/// A branch.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub name: String,
    pub n_entries: u64,
    /// What its values are, or why they cannot be read.
    pub leaf: Result<Leaf, String>,
    /// In order of their entries.
    pub baskets: Vec<BasketPlace>,
}

/// The values of a branch.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub name: String,
    pub number: Number,
    /// Name of the leaf that says how many values each entry has; `None`: one.
    pub counter: Option<String>,
}

/// Type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Bool,
    Integer { bytes: usize, signed: bool },
    F32,
    F64,
}

impl Number {
    pub(super) fn bytes(self) -> usize {
        match self {
            Number::Bool => 1,
            Number::Integer { bytes, .. } => bytes,
            Number::F32 => 4,
            Number::F64 => 8,
        }
    }

    pub(super) fn is_real(self) -> bool {
        matches!(self, Number::F32 | Number::F64)
    }
}

/// Where a basket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BasketPlace {
    pub first_entry: u64,
    pub place: u64,
    pub n_bytes: usize,
}

/// Reads the description of a tree. `key_bytes` is the length of its key, which references count.
pub(super) fn tree(raw: &[u8], key_bytes: usize) -> Result<Tree, Malformed> {
    Reader { bytes: Bytes::new(raw), key_bytes, classes: HashMap::new(), leaves: HashMap::new() }
        .tree()
}

struct Reader<'a> {
    bytes: Bytes<'a>,
    key_bytes: usize,
    /// Names of classes, by the place where they stand.
    classes: HashMap<u32, String>,
    /// Leaves, by the place where they stand.
    leaves: HashMap<u32, Result<Leaf, String>>,
}

/// What a pointer in the file points to.
enum Pointer {
    Null,
    /// An object that was read before.
    Earlier(u32),
    /// An object that follows: its class, its own place, its end.
    New {
        class: String,
        id: u32,
        end: usize,
    },
}

impl Reader<'_> {
    fn tree(mut self) -> Read<Tree> {
        let (version, _) = self.bytes.head()?;
        if !matches!(version, 19 | 20) {
            return self.bytes.malformed(format!("version {version} of TTree, not 19 or 20"));
        }
        self.bytes.named()?;
        // Colours of lines, fills and markers.
        for _ in 0..3 {
            self.bytes.skip()?;
        }
        let n_entries = self.bytes.pointer(true)?;
        // Sizes, weight, timer, scan, update, length of offsets.
        self.bytes.take(4 * 8 + 8 + 4 * 4)?;
        let n_clusters = self.bytes.count()?;
        self.bytes.take(6 * 8)?;
        for _ in 0..2 {
            self.bytes.take(1)?;
            self.array(n_clusters, 8)?;
        }
        if version == 20 {
            self.bytes.skip()?;
        }
        let mut branches = Vec::new();
        for _ in 0..self.list()? {
            if let Some(branch) = self.branch()? {
                branches.push(branch);
            }
        }
        Ok(Tree { n_entries, branches })
    }

    /// Passes over the values of an array.
    fn array(&mut self, n: usize, bytes: usize) -> Read<&[u8]> {
        let Some(n_bytes) = n.checked_mul(bytes) else {
            return self.bytes.malformed(format!("an array of {n} values"));
        };
        self.bytes.take(n_bytes)
    }

    /// The head of a list of objects: how many pointers follow.
    fn list(&mut self) -> Read<usize> {
        let (_, end) = self.bytes.head()?;
        self.bytes.object()?;
        self.bytes.string()?;
        let n = self.bytes.count()?;
        self.bytes.take(4)?;
        if n > end.saturating_sub(self.bytes.at()) / 4 {
            return self.bytes.malformed(format!("a list of {n} objects"));
        }
        Ok(n)
    }

    fn pointer(&mut self) -> Read<Pointer> {
        let begin = self.bytes.at();
        let count = self.bytes.u32()?;
        if count & BYTE_COUNT == 0 || count == NEW_CLASS {
            return match count {
                0 => Ok(Pointer::Null),
                _ if count & CLASS == 0 => Ok(Pointer::Earlier(count)),
                _ => self.bytes.malformed("an object without a count of bytes"),
            };
        }
        let place = self.bytes.at();
        let end = place + (count & !BYTE_COUNT) as usize;
        let id = |at: usize| (at + self.key_bytes + MAP_OFFSET) as u32;
        let tag = self.bytes.u32()?;
        let class = match tag {
            NEW_CLASS => {
                let class = self.bytes.c_string()?;
                self.classes.insert(id(place), class.clone());
                class
            }
            _ if tag & CLASS != 0 => match self.classes.get(&(tag & !CLASS)) {
                Some(class) => class.clone(),
                None => "of an unknown class".into(),
            },
            _ => return self.bytes.malformed("a reference with a count of bytes"),
        };
        Ok(Pointer::New { class, id: id(begin), end })
    }

    fn branch(&mut self) -> Read<Option<Branch>> {
        let Pointer::New { class, end, .. } = self.pointer()? else { return Ok(None) };
        if class != "TBranch" {
            // Of a class: its base is a TBranch, which begins with its name.
            let name = if class == "TBranchElement" { self.element_name()? } else { class.clone() };
            self.bytes.go_to(end)?;
            let leaf = Err(format!("a branch of type {class}"));
            return Ok(Some(Branch { name, n_entries: 0, leaf, baskets: Vec::new() }));
        }
        let branch = self.plain_branch()?;
        self.bytes.go_to(end)?;
        Ok(Some(branch))
    }

    fn element_name(&mut self) -> Read<String> {
        self.bytes.head()?;
        self.bytes.head()?;
        Ok(self.bytes.named()?.0)
    }

    fn plain_branch(&mut self) -> Read<Branch> {
        let (version, _) = self.bytes.head()?;
        if !matches!(version, 11..=13) {
            return self.bytes.malformed(format!("version {version} of TBranch, not 11 to 13"));
        }
        let (name, _) = self.bytes.named()?;
        self.bytes.skip()?;
        // Compression, size of baskets, length of offsets.
        self.bytes.take(12)?;
        let n_baskets = self.bytes.count()?;
        self.bytes.take(8)?;
        if version == 13 {
            self.bytes.skip()?;
        }
        self.bytes.take(4)?;
        let n_places = self.bytes.count()?;
        self.bytes.take(4)?;
        let n_entries = self.bytes.pointer(true)?;
        self.bytes.take(3 * 8)?;
        let n_branches = self.skip_list()?;
        let mut leaves = self.leaves()?;
        self.skip_list()?;
        let baskets = self.places(n_baskets, n_places, n_entries)?;
        let leaf = match (n_branches, leaves.len()) {
            (0, 1) => leaves.remove(0),
            (0, n) => Err(format!("a branch of {n} leaves")),
            (n, _) => Err(format!("a branch of {n} branches")),
        };
        let (leaf, baskets) = match (leaf, baskets) {
            (Ok(leaf), Ok(baskets)) => (Ok(leaf), baskets),
            (Err(reason), _) | (_, Err(reason)) => (Err(reason), Vec::new()),
        };
        Ok(Branch { name, n_entries, leaf, baskets })
    }

    /// Passes over a list of objects; returns how many there are.
    fn skip_list(&mut self) -> Read<usize> {
        let mut n = 0;
        for _ in 0..self.list()? {
            if let Pointer::New { end, .. } = self.pointer()? {
                self.bytes.go_to(end)?;
                n += 1;
            }
        }
        Ok(n)
    }

    /// The leaves of a branch, also those that a jagged branch before it pointed to.
    fn leaves(&mut self) -> Read<Vec<Result<Leaf, String>>> {
        let mut leaves = Vec::new();
        for _ in 0..self.list()? {
            match self.pointer()? {
                Pointer::Null => {}
                Pointer::Earlier(id) => leaves.push(self.earlier(id)),
                Pointer::New { class, id, end } => leaves.push(self.leaf(&class, id, end, 0)?),
            }
        }
        Ok(leaves)
    }

    fn earlier(&self, id: u32) -> Result<Leaf, String> {
        self.leaves.get(&id).cloned().unwrap_or_else(|| Err("a leaf that is nowhere".into()))
    }

    fn leaf(
        &mut self,
        class: &str,
        id: u32,
        end: usize,
        depth: usize,
    ) -> Read<Result<Leaf, String>> {
        let leaf = match number_of(class) {
            Some(number) if depth < DEPTH_MAX => self.number_leaf(number, depth)?,
            _ => Err(format!("values of type {class}")),
        };
        self.bytes.go_to(end)?;
        self.leaves.insert(id, leaf.clone());
        Ok(leaf)
    }

    fn number_leaf(&mut self, number: Number, depth: usize) -> Read<Result<Leaf, String>> {
        self.bytes.head()?;
        let (version, _) = self.bytes.head()?;
        if version != 2 {
            return self.bytes.malformed(format!("version {version} of TLeaf, not 2"));
        }
        let (name, _) = self.bytes.named()?;
        let (length, bytes) = (self.bytes.i32()?, self.bytes.i32()?);
        self.bytes.take(5)?;
        let unsigned = self.bytes.u8()? != 0;
        let number = match number {
            Number::Integer { bytes, .. } => Number::Integer { bytes, signed: !unsigned },
            other => other,
        };
        let counter = match self.pointer()? {
            Pointer::Null => None,
            Pointer::Earlier(id) => Some(self.earlier(id)),
            Pointer::New { class, id, end } => Some(self.leaf(&class, id, end, depth + 1)?),
        };
        let counter = match counter.transpose() {
            Ok(leaf) => leaf.map(|leaf| leaf.name),
            Err(reason) => return Ok(Err(format!("as many values as {reason}"))),
        };
        if length != 1 || usize::try_from(bytes) != Ok(number.bytes()) {
            return Ok(Err(format!("{length} values of {bytes} bytes in each entry")));
        }
        Ok(Ok(Leaf { name, number, counter }))
    }

    /// Where baskets stand, or why not all of them do.
    fn places(
        &mut self,
        n_baskets: usize,
        n_places: usize,
        n_entries: u64,
    ) -> Read<Result<Vec<BasketPlace>, String>> {
        let mut columns = [const { Vec::new() }; 3];
        for (column, n_bytes) in columns.iter_mut().zip([4, 8, 8]) {
            self.bytes.take(1)?;
            let values = self.array(n_places, n_bytes)?;
            let widen = |value: &[u8]| value.iter().fold(0, |sum, &x| sum << 8 | u64::from(x));
            // One more than there are baskets: where the last one ends.
            column.extend(values.chunks_exact(n_bytes).take(n_baskets + 1).map(widen));
        }
        let [bytes, entries, places] = columns;
        if n_baskets > n_places {
            return self.bytes.malformed(format!("{n_baskets} baskets in {n_places} places"));
        }
        let end = entries.get(n_baskets).copied().unwrap_or(n_entries);
        let firsts = entries[..n_baskets].iter().copied().chain([end]);
        if !firsts.clone().is_sorted() || firsts.clone().next() != Some(0) && n_entries > 0 {
            return self.bytes.malformed("baskets that are not in order of their entries");
        }
        if end != n_entries || places[..n_baskets].contains(&0) {
            let reason = "entries that stand in the description of the tree, not in baskets";
            return Ok(Err(reason.into()));
        }
        let place = |i: usize| BasketPlace {
            first_entry: entries[i],
            place: places[i],
            n_bytes: bytes[i] as usize,
        };
        Ok(Ok((0..n_baskets).map(place).collect()))
    }
}

/// Type of the values of a class of leaves.
fn number_of(class: &str) -> Option<Number> {
    let integer = |bytes| Some(Number::Integer { bytes, signed: true });
    match class {
        "TLeafO" => Some(Number::Bool),
        "TLeafB" => integer(1),
        "TLeafS" => integer(2),
        "TLeafI" => integer(4),
        "TLeafL" | "TLeafG" => integer(8),
        "TLeafF" => Some(Number::F32),
        "TLeafD" => Some(Number::F64),
        _ => None,
    }
}
