//! Small parquet files for tests: a table of named columns of any type, written with the
//! library's own column writers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::column::writer::ColumnWriter;
use ::parquet::data_type::ByteArray;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;

/// Values of one column; `None` is null.
#[derive(Clone)]
pub(super) enum Rows {
    Plain(Vec<Option<i64>>),
    Lists(Vec<Vec<Option<i64>>>),
}

/// A file to be.
#[derive(Clone)]
pub(super) struct Table {
    columns: Vec<(&'static str, &'static str, Rows)>,
    pub rows_per_group: usize,
}

pub(super) fn plain(values: &[i64]) -> Rows {
    Rows::Plain(values.iter().copied().map(Some).collect())
}

pub(super) fn lists(values: &[&[i64]]) -> Rows {
    Rows::Lists(values.iter().map(|list| list.iter().copied().map(Some).collect()).collect())
}

const I16: &str = "int32 %(INTEGER(16,true))";

impl Table {
    /// The columns that every file needs. Row i has MET code i % 100, i % 3 muons, i % 4
    /// e/gammas and i % 5 jets, in ascending pT for muons and descending otherwise.
    pub(super) fn minimal(n_rows: usize) -> Table {
        let objects = |modulus: usize, pt: &dyn Fn(usize, usize) -> i64| {
            let row = |i: usize| (0..i % modulus).map(|k| Some(pt(i, k))).collect();
            Rows::Lists((0..n_rows).map(row).collect())
        };
        let sums = |modulus: i64| {
            Rows::Lists((0..n_rows as i64).map(|i| vec![Some(i % modulus)]).collect())
        };
        let mut table = Table { columns: Vec::new(), rows_per_group: usize::MAX };
        table.set("MET_Et", I16, sums(100));
        table.set("MET_phi", I16, sums(144));
        for (pt, eta, phi, modulus) in [
            ("muons_muonIEt", "muons_muonIEtaAtVtx", "muons_muonIPhiAtVtx", 3),
            ("egammas_egIEt", "egammas_egIEta", "egammas_egIPhi", 4),
            ("jets_jetIEt", "jets_jetIEta", "jets_jetIPhi", 5),
        ] {
            let rising = modulus == 3;
            let step = move |k: usize| if rising { k } else { 100 - k };
            table.set(pt, I16, objects(modulus, &|_, k| 10 + step(k) as i64));
            table.set(eta, I16, objects(modulus, &|i, k| k as i64 - (i % 50) as i64));
            table.set(phi, I16, objects(modulus, &|i, k| (i % 100 + k) as i64));
        }
        table
    }

    /// Adds or replaces a column. `ty` is as in a message type; `%` is where its name goes.
    pub(super) fn set(&mut self, name: &'static str, ty: &'static str, rows: Rows) {
        self.remove(name);
        self.columns.push((name, ty, rows));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.columns.retain(|column| column.0 != name);
    }

    /// Sets `run`, `orbit` and `bx` as recorded data have them.
    pub(super) fn set_crossings(&mut self, run: i64, orbits: &[i64], bxs: &[i64]) {
        self.set("run", "int32 %(INTEGER(32,false))", plain(&vec![run; orbits.len()]));
        self.set("orbit", "int64 %(INTEGER(64,false))", plain(orbits));
        self.set("bx", "int32 %(INTEGER(32,false))", plain(bxs));
    }

    fn n_rows(&self) -> usize {
        match &self.columns[0].2 {
            Rows::Plain(rows) => rows.len(),
            Rows::Lists(rows) => rows.len(),
        }
    }

    pub(super) fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        let mut message = String::from("message schema {");
        for (name, ty, rows) in &self.columns {
            message += &match rows {
                Rows::Plain(_) => format!("optional {};", ty.replace('%', name)),
                Rows::Lists(_) => format!(
                    "optional group {name} (LIST) {{ repeated group list {{ optional {}; }} }}",
                    ty.replace('%', "element")
                ),
            };
        }
        let schema = Arc::new(parse_message_type(&(message + "}")).unwrap());
        let properties =
            Arc::new(WriterProperties::builder().set_data_page_row_count_limit(7).build());
        let file = File::create(&path).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
        let n_rows = self.n_rows();
        let mut first = 0;
        while first < n_rows {
            let end = first.saturating_add(self.rows_per_group).min(n_rows);
            let mut group = writer.next_row_group().unwrap();
            for (_, _, rows) in &self.columns {
                let mut column = group.next_column().unwrap().unwrap();
                write_column(column.untyped(), rows, first, end);
                column.close().unwrap();
            }
            group.close().unwrap();
            first = end;
        }
        writer.close().unwrap();
        path
    }
}

fn write_column(writer: &mut ColumnWriter<'_>, rows: &Rows, first: usize, end: usize) {
    let (mut values, mut definition, mut repetition) = (Vec::new(), Vec::new(), Vec::new());
    match rows {
        Rows::Plain(rows) => {
            for value in &rows[first..end] {
                definition.push(i16::from(value.is_some()));
                values.extend(*value);
            }
        }
        Rows::Lists(rows) => {
            for row in &rows[first..end] {
                if row.is_empty() {
                    definition.push(1);
                    repetition.push(0);
                }
                for (k, value) in row.iter().enumerate() {
                    definition.push(if value.is_some() { 3 } else { 2 });
                    repetition.push(i16::from(k > 0));
                    values.extend(*value);
                }
            }
        }
    }
    let levels = (Some(&definition[..]), Some(&repetition[..]).filter(|r| !r.is_empty()));
    /// Writes the values as `$convert` makes them.
    macro_rules! put {
        ($writer:expr, $convert:expr) => {{
            let values: Vec<_> = values.iter().map($convert).collect();
            $writer.write_batch(&values, levels.0, levels.1).unwrap();
        }};
    }
    match writer {
        ColumnWriter::BoolColumnWriter(w) => put!(w, |&x| x != 0),
        ColumnWriter::Int32ColumnWriter(w) => put!(w, |&x| x as i32),
        ColumnWriter::Int64ColumnWriter(w) => put!(w, |&x| x),
        ColumnWriter::FloatColumnWriter(w) => put!(w, |&x| x as f32 / 4.0),
        ColumnWriter::DoubleColumnWriter(w) => put!(w, |&x| x as f64 / 4.0),
        ColumnWriter::ByteArrayColumnWriter(w) => {
            put!(w, |x: &i64| ByteArray::from(x.to_string().as_str()));
        }
        _ => unreachable!("not used in tests"),
    }
}
