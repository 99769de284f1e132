//! Compressed blocks: a head of nine bytes that names algorithm and both lengths, then the data.
//!
//! Objects larger than 16 MiB have several. A block never yields more bytes than its head says, and
//! all blocks together not more than the object has; LZ4 blocks carry a checksum, which is verified.
//!
//! **Source**: ROOT `core/zip/src/RZip.cxx`.

use flate2::{Decompress, FlushDecompress, Status};
use xxhash_rust::xxh64::xxh64;

use crate::import::guard::caught;

const HEAD_BYTES: usize = 9;
const XZ_MAGIC: &[u8] = b"\xFD7zXZ\0";

/// Replaces `out` by the `n` bytes that the blocks in `input` hold.
pub(super) fn decompress(mut input: &[u8], n: usize, out: &mut Vec<u8>) -> Result<(), String> {
    out.clear();
    while out.len() < n {
        let Some((head, rest)) = input.split_first_chunk::<HEAD_BYTES>() else {
            return Err(format!("the head of a block after {} of {n} bytes is cut", out.len()));
        };
        let length = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], 0]);
        let (compressed, whole) = (length(3) as usize, length(6) as usize);
        let Some((block, rest)) = rest.split_at_checked(compressed) else {
            return Err(format!("a block of {compressed} bytes where {} are left", rest.len()));
        };
        if whole == 0 || whole > n - out.len() {
            return Err(format!("a block of {whole} bytes where {} are missing", n - out.len()));
        }
        let begin = out.len();
        out.resize(begin + whole, 0);
        block_into([head[0], head[1]], block, &mut out[begin..])?;
        input = rest;
    }
    if input.is_empty() {
        Ok(())
    } else {
        Err(format!("{} bytes after the last block", input.len()))
    }
}

/// Decompresses one block, which fills `out`.
fn block_into(algorithm: [u8; 2], block: &[u8], out: &mut [u8]) -> Result<(), String> {
    let wanted = out.len();
    let found = match &algorithm {
        b"ZL" => zlib(block, out)?,
        b"L4" => lz4(block, out)?,
        b"ZS" => zstd::bulk::decompress_to_buffer(block, out).map_err(|e| format!("zstd: {e}"))?,
        b"XZ" => xz(block, out)?,
        other => {
            let name = other.escape_ascii();
            return Err(format!("compression `{name}`, which is none of ZL, XZ, L4, ZS"));
        }
    };
    if found == wanted {
        Ok(())
    } else {
        Err(format!("a block of {found} bytes instead of {wanted}"))
    }
}

fn zlib(block: &[u8], out: &mut [u8]) -> Result<usize, String> {
    let mut zlib = Decompress::new(true);
    match zlib.decompress(block, out, FlushDecompress::Finish) {
        Ok(Status::StreamEnd) if zlib.total_in() == block.len() as u64 => {
            Ok(zlib.total_out() as usize)
        }
        Ok(_) => Err("zlib: a block that is cut or longer than its head says".into()),
        Err(error) => Err(format!("zlib: {error}")),
    }
}

fn lz4(block: &[u8], out: &mut [u8]) -> Result<usize, String> {
    let Some((checksum, block)) = block.split_first_chunk::<8>() else {
        return Err("LZ4: a block without a checksum".into());
    };
    if xxh64(block, 0) != u64::from_be_bytes(*checksum) {
        return Err("LZ4: a checksum that does not match".into());
    }
    lz4_flex::block::decompress_into(block, out).map_err(|error| format!("LZ4: {error}"))
}

fn xz(block: &[u8], out: &mut [u8]) -> Result<usize, String> {
    let promised = xz_bytes(block).ok_or("xz: chunks that do not follow each other")?;
    if promised != out.len() {
        return Err(format!("xz: chunks of {promised} bytes instead of {}", out.len()));
    }
    let (mut input, mut rest) = (block, &mut out[..]);
    let step = || lzma_rs::xz_decompress(&mut input, &mut rest).map_err(|e| format!("xz: {e:?}"));
    caught(step, |reason| reason)?;
    let left = rest.len();
    Ok(out.len() - left)
}

/// Bytes that the LZMA2 chunks of an xz file with one block yield, by their heads. The decoder keeps
/// all of them in memory, so that they are added up before.
fn xz_bytes(file: &[u8]) -> Option<usize> {
    let block = file.strip_prefix(XZ_MAGIC)?.get(6..)?;
    let mut chunks = block.get(4 * (usize::from(*block.first()?) + 1)..)?;
    let mut total = 0;
    loop {
        let control = *chunks.first()?;
        let length = |at: usize| {
            Some(usize::from(u16::from_be_bytes([*chunks.get(at)?, *chunks.get(at + 1)?])) + 1)
        };
        let (head, body, whole) = match control {
            0 => return Some(total),
            // Stored.
            1 | 2 => (3, length(1)?, length(1)?),
            0x80.. => {
                let whole = (usize::from(control & 0x1F) << 16) + length(1)?;
                // From 0xC0 on a byte of properties follows.
                (5 + usize::from(control >= 0xC0), length(3)?, whole)
            }
            _ => return None,
        };
        total += whole;
        chunks = chunks.get(head + body..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(algorithm: &[u8; 2], data: &[u8], whole: usize) -> Vec<u8> {
        let mut out = algorithm.to_vec();
        out.push(1);
        out.extend_from_slice(&(data.len() as u32).to_le_bytes()[..3]);
        out.extend_from_slice(&(whole as u32).to_le_bytes()[..3]);
        out.extend_from_slice(data);
        out
    }

    /// The same bytes as a block of every algorithm.
    fn blocks(data: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let n = data.len();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut zlib, data).unwrap();
        let mut xz = Vec::new();
        lzma_rs::xz_compress(&mut &data[..], &mut xz).unwrap();
        let lz4 = lz4_flex::block::compress(data);
        let mut with_checksum = xxh64(&lz4, 0).to_be_bytes().to_vec();
        with_checksum.extend(lz4);
        vec![
            ("ZL", block(b"ZL", &zlib.finish().unwrap(), n)),
            ("XZ", block(b"XZ", &xz, n)),
            ("L4", block(b"L4", &with_checksum, n)),
            ("ZS", block(b"ZS", &zstd::bulk::compress(data, 5).unwrap(), n)),
        ]
    }

    fn data() -> Vec<u8> {
        (0..3000_u32).map(|i| (i * i / 700) as u8).collect()
    }

    #[test]
    fn every_algorithm_gives_back_what_went_in_also_in_several_blocks() {
        let data = data();
        let mut out = Vec::new();
        for (name, once) in blocks(&data) {
            decompress(&once, data.len(), &mut out).unwrap();
            assert!(out == data, "{name}");
            let twice = [&once[..], &once[..]].concat();
            decompress(&twice, 2 * data.len(), &mut out).unwrap();
            assert!(out == [&data[..], &data[..]].concat(), "{name}");
        }
    }

    #[test]
    fn cut_blocks_and_lengths_that_lie_are_errors() {
        let data = data();
        let mut out = Vec::new();
        for (name, good) in blocks(&data) {
            for n in 0..good.len() {
                assert!(decompress(&good[..n], data.len(), &mut out).is_err(), "{name} cut at {n}");
            }
            for wrong in [1, data.len() - 1, data.len() + 1, 1 << 23] {
                assert!(decompress(&good, wrong, &mut out).is_err(), "{name}: {wrong} bytes asked");
                let mut lying = good.clone();
                lying[6..9].copy_from_slice(&(wrong as u32).to_le_bytes()[..3]);
                assert!(
                    decompress(&lying, wrong, &mut out).is_err(),
                    "{name}: {wrong} in its head"
                );
            }
            let longer = [&good[..], &[0]].concat();
            assert!(decompress(&longer, data.len(), &mut out).is_err(), "{name}: a byte more");
        }
        let old = block(b"CS", &[1, 2, 3], 3);
        assert!(decompress(&old, 3, &mut out).unwrap_err().contains("`CS`"));
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_other_bytes_of_the_same_number() {
        let data = data();
        let mut out = Vec::new();
        for (name, good) in blocks(&data) {
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                let done = decompress(&bad, data.len(), &mut out);
                assert!(done.is_err() || out.len() == data.len(), "{name}: bit {bit}");
                // Adler-32 and xxh64 find all of them outside their own heads; what encodes xz here
                // leaves out the CRC that ROOT writes.
                let checked = ["ZL", "L4"].contains(&name) && bit >= HEAD_BYTES * 8;
                assert!(!checked || done.is_err() || out == data, "{name}: bit {bit} not found");
            }
        }
    }
}
