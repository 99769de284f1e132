//! The block of one crossing as a source would send it.

use super::{CALO_MAX, DMA_BYTES, DMA_LISTS, DMA_SUMS_LINK, Source, link_bytes};
use crate::event::Collection;
use crate::lhc::Bx;
use crate::raw::crossing::{Crossing, SectorStub};
use crate::raw::words::{CaloObject, Muon, Slot};

/// Appends the block of one crossing as `source` would send it; nothing where the source has no
/// object and suppresses such crossings. Sums are always sent.
pub fn encode(source: Source, orbit: u32, bx: Bx, crossing: &Crossing, out: &mut Vec<u8>) {
    match source {
        Source::Muons => encode_muons(orbit, bx, &crossing.muons, out),
        Source::CaloDma => encode_dma(orbit, bx, crossing, out),
        Source::Sums => {
            let words = crossing.sums.unwrap_or_default().to_words();
            put(&[u32::from(bx.get()), orbit], out);
            put(&words, out);
        }
        Source::Stubs(sector) => encode_stubs(orbit, bx, sector, &crossing.stubs, out),
        Source::Jets => encode_calo(orbit, bx, &crossing.jets, CaloObject::to_jet_word, out),
        Source::EGammas => {
            encode_calo(orbit, bx, &crossing.egammas, CaloObject::to_egamma_word, out);
        }
        Source::Taus => encode_calo(orbit, bx, &crossing.taus, CaloObject::to_egamma_word, out),
    }
}

fn put(words: &[u32], out: &mut Vec<u8>) {
    words.iter().for_each(|word| out.extend(word.to_le_bytes()));
}

/// Muons fill the first places of the links, then the second: so readers, which get the first
/// list before the second and sort by pT, see muons of equal pT in the order that they had.
fn encode_muons(orbit: u32, bx: Bx, muons: &[Muon], out: &mut Vec<u8>) {
    let muons = &muons[..muons.len().min(Collection::Muon.capacity())];
    if muons.is_empty() {
        return;
    }
    let (first, second) = muons.split_at(muons.len().div_ceil(2));
    // Every link agrees on crossing and orbit.
    let matches = 0xff << 24 | 0xff << 8;
    let header = matches | (first.len() as u32) << 16 | second.len() as u32;
    put(&[header, u32::from(bx.get()), orbit], out);
    for (slot, list) in [(Slot::A, first), (Slot::B, second)] {
        for (link, muon) in list.iter().enumerate() {
            let eta_of = |list: &[Muon]| list.get(link).map_or(0, |muon| muon.eta_raw);
            let [f, s] = muon.to_words();
            put(&[f, s, Muon::extra_word(bx.get(), slot, [eta_of(first), eta_of(second)])], out);
        }
    }
}

fn encode_calo(
    orbit: u32,
    bx: Bx,
    objects: &[CaloObject],
    to_word: fn(CaloObject) -> u32,
    out: &mut Vec<u8>,
) {
    let objects = &objects[..objects.len().min(CALO_MAX)];
    if !objects.is_empty() {
        put(&[objects.len() as u32, u32::from(bx.get()), orbit], out);
        objects.iter().for_each(|&object| put(&[to_word(object)], out));
    }
}

fn encode_dma(orbit: u32, bx: Bx, crossing: &Crossing, out: &mut Vec<u8>) {
    let mut words = [0; DMA_BYTES / 4];
    words[1] = u32::from(bx.get());
    words[2] = orbit;
    for link in 0..8 {
        words[link_bytes(link) / 4 - 1] = link as u32;
    }
    let lists = [&crossing.jets, &crossing.egammas, &crossing.taus];
    for ((source, first, second), objects) in DMA_LISTS.into_iter().zip(lists) {
        for (k, object) in objects.iter().take(CALO_MAX).enumerate() {
            let link = if k < 6 { first } else { second };
            words[link_bytes(link) / 4 + k % 6] = match source {
                Source::Jets => object.to_jet_word(),
                _ => object.to_egamma_word(),
            };
        }
    }
    let sums = crossing.sums.unwrap_or_default().to_words();
    words[link_bytes(DMA_SUMS_LINK) / 4..][..6].copy_from_slice(&sums);
    put(&words, out);
}

fn encode_stubs(orbit: u32, bx: Bx, sector: u8, stubs: &[SectorStub], out: &mut Vec<u8>) {
    let of_sector = || stubs.iter().filter(|stub| stub.sector == sector).take(255);
    let n = of_sector().count();
    if n > 0 {
        put(&[n as u32, u32::from(bx.get()), orbit], out);
        of_sector().for_each(|stub| out.extend(stub.stub.to_word(bx.get()).to_le_bytes()));
    }
}
