//! Filling rows from decoded blocks: the named layouts, batches of 64 and 512.
//!
//! One block of 16 orbits, which is what core 0 has just decoded, into one batch that is filled
//! again and again.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use scout40_benches::{layout, n_events, zero_bias};
use scout40_models::features::Feature;
use scout40_models::{FeatureSpec, FillPlan, RowBuffer};
use scout40_replay::event::{Block, Dtype};

/// The obvious way: each feature of one event on its own.
fn slow_value(feature: Feature, block: &Block, event: usize) -> i16 {
    let Feature::Value { column, index, transform } = feature else { return 0 };
    let (event, index) = (block.event(event), usize::from(index));
    let code = match column.spec().dtype {
        Dtype::U8 => event.values::<u8>(column).get(index).map(|&x| i16::from(x)),
        _ => event.values::<i16>(column).get(index).copied(),
    };
    code.map_or(0, |x| transform.apply(x))
}

/// Fills all events in batches of `size`; `each` sees block, first event and rows.
fn fill_all(
    plan: &FillPlan,
    blocks: &[Block],
    size: usize,
    rows: &mut RowBuffer,
    mut each: impl FnMut(&Block, usize, &RowBuffer),
) {
    for block in blocks {
        for begin in (0..block.len()).step_by(size) {
            let n = (block.len() - begin).min(size);
            plan.fill(block, begin..begin + n, rows, 0);
            rows.set_len(n);
            each(block, begin, rows);
        }
    }
}

fn assert_rows(spec: &FeatureSpec, block: &Block, begin: usize, rows: &RowBuffer) {
    for (place, &feature) in spec.features().iter().enumerate() {
        for (lane, &found) in rows.column(place).iter().enumerate() {
            let expected = slow_value(feature, block, begin + lane);
            assert_eq!(found, expected, "feature {place} of event {}", begin + lane);
        }
    }
}

fn fill(c: &mut Criterion) {
    let blocks = zero_bias(16, 16);
    let mut group = c.benchmark_group("fill");
    group.throughput(Throughput::Elements(n_events(&blocks)));
    for name in ["l1-57", "axol1tl", "thesis-99"] {
        let spec = layout(name);
        let plan = FillPlan::new(&spec);
        for size in [64, 512] {
            let mut rows = RowBuffer::new(spec.len());
            fill_all(&plan, &blocks[..1], size, &mut rows, |block, begin, rows| {
                assert_rows(&spec, block, begin, rows);
            });
            group.bench_function(format!("{name}/{size}"), |b| {
                b.iter(|| {
                    fill_all(&plan, &blocks, size, &mut rows, |_, _, rows| _ = black_box(rows));
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, fill);
criterion_main!(benches);
