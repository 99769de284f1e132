//! Big-endian numbers, strings and object headers, with every length checked against what is there.

/// Why bytes are not what they should be.
#[derive(Debug)]
pub(super) struct Malformed {
    /// Where, from the first byte that was handed over.
    pub at: usize,
    pub reason: String,
}

pub(super) type Read<T> = Result<T, Malformed>;

/// Set in the count of bytes that an object begins with.
const BYTE_COUNT: u32 = 0x4000_0000;
/// Set in an object that others refer to: two more bytes follow.
const IS_REFERENCED: u32 = 1 << 4;

/// A place in bytes.
#[derive(Clone, Debug)]
pub(super) struct Bytes<'a> {
    all: &'a [u8],
    at: usize,
}

macro_rules! number {
    ($($name:ident)*) => {$(
        pub(super) fn $name(&mut self) -> Read<$name> {
            let bytes = self.take(size_of::<$name>())?;
            Ok($name::from_be_bytes(bytes.try_into().expect("as many as asked for")))
        }
    )*};
}

impl<'a> Bytes<'a> {
    pub(super) fn new(all: &'a [u8]) -> Bytes<'a> {
        Bytes { all, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn malformed<T>(&self, reason: impl Into<String>) -> Read<T> {
        Err(Malformed { at: self.at, reason: reason.into() })
    }

    pub(super) fn take(&mut self, n: usize) -> Read<&'a [u8]> {
        let left = &self.all[self.at..];
        let Some(bytes) = left.get(..n) else {
            return self.malformed(format!("expected {n} more bytes, found {}", left.len()));
        };
        self.at += n;
        Ok(bytes)
    }

    /// Goes on at a place that is ahead.
    pub(super) fn go_to(&mut self, at: usize) -> Read<()> {
        if at < self.at || at > self.all.len() {
            return self.malformed(format!("an object that ends at byte {at}"));
        }
        self.at = at;
        Ok(())
    }

    number! { u8 u16 i16 u32 i32 i64 }

    /// A place or length in the file: 32 bits, or 64 in large files. Never negative.
    pub(super) fn pointer(&mut self, wide: bool) -> Read<u64> {
        let value = if wide { self.i64()? } else { i64::from(self.i32()?) };
        match u64::try_from(value) {
            Ok(value) => Ok(value),
            Err(_) => self.malformed(format!("a place or length of {value}")),
        }
    }

    /// A count of what follows.
    pub(super) fn count(&mut self) -> Read<usize> {
        let n = self.i32()?;
        match usize::try_from(n) {
            Ok(n) => Ok(n),
            Err(_) => self.malformed(format!("a count of {n}")),
        }
    }

    /// A string after its length of one byte, or of four if it is long.
    pub(super) fn string(&mut self) -> Read<String> {
        let n = match self.u8()? {
            255 => self.u32()? as usize,
            n => usize::from(n),
        };
        Ok(String::from_utf8_lossy(self.take(n)?).into_owned())
    }

    /// A string that ends with a zero.
    pub(super) fn c_string(&mut self) -> Read<String> {
        let left = &self.all[self.at..];
        let Some(n) = left.iter().position(|&byte| byte == 0) else {
            return self.malformed("a name without an end");
        };
        let text = String::from_utf8_lossy(self.take(n)?).into_owned();
        self.take(1)?;
        Ok(text)
    }

    /// The head of an object: its version and where it ends.
    pub(super) fn head(&mut self) -> Read<(u16, usize)> {
        let count = self.u32()?;
        let end = self.at + (count & !BYTE_COUNT) as usize;
        if count & BYTE_COUNT == 0 || end > self.all.len() || end < self.at + 2 {
            return self.malformed(format!("an object of 0x{count:08x} bytes"));
        }
        Ok((self.u16()?, end))
    }

    /// Passes over an object.
    pub(super) fn skip(&mut self) -> Read<()> {
        let (_, end) = self.head()?;
        self.go_to(end)
    }

    /// The base of every object.
    pub(super) fn object(&mut self) -> Read<()> {
        if self.u16()? & 0x4000 != 0 {
            self.take(4)?;
        }
        self.take(4)?;
        if self.u32()? & IS_REFERENCED != 0 {
            self.take(2)?;
        }
        Ok(())
    }

    /// The base of objects with a name. Returns name and title.
    pub(super) fn named(&mut self) -> Read<(String, String)> {
        let (_, end) = self.head()?;
        self.object()?;
        let texts = (self.string()?, self.string()?);
        self.go_to(end)?;
        Ok(texts)
    }
}
