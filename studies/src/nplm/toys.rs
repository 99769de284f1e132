//! Many toy experiments: in parallel, repeatable, resumable.
//!
//! A toy is a number; everything random in it follows from the seed and that number. So results depend neither on
//! the threads nor on where an earlier run stopped. A **journal** keeps them: a text file whose first line
//! describes the configuration, then one line for each toy, `set number bits`, with the value's 64 bits
//! in hexadecimal and, for people, in decimal. Lines are flushed as toys end; a last line without its end was
//! interrupted and is dropped.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rayon::prelude::*;

use crate::error::Error;

/// Results of toys, in memory or in a file too.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Option<File>,
    /// By set and number.
    done: BTreeMap<(String, u64), f64>,
}

impl Journal {
    /// Keeps results in memory alone.
    #[must_use]
    pub fn in_memory() -> Journal {
        Journal { path: PathBuf::new(), file: None, done: BTreeMap::new() }
    }

    /// Begins a file. `configuration`: one line that describes everything that results depend on.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path, configuration: &str) -> Result<Journal, Error> {
        let mut file = File::create(path).map_err(|error| failed(path, &error))?;
        writeln!(file, "{}", one_line(configuration)).map_err(|error| failed(path, &error))?;
        Ok(Journal { path: path.to_owned(), file: Some(file), done: BTreeMap::new() })
    }

    /// Goes on with a file, or begins it if there is none.
    ///
    /// # Errors
    /// Another configuration, lines that are none, and what the system says.
    pub fn resume(path: &Path, configuration: &str) -> Result<Journal, Error> {
        if !path.exists() {
            return Journal::create(path, configuration);
        }
        let system = |error: std::io::Error| failed(path, &error);
        let mut done = BTreeMap::new();
        let mut whole = 0;
        let mut reader = BufReader::new(File::open(path).map_err(system)?);
        let mut line = String::new();
        for number in 1.. {
            line.clear();
            let bytes = reader.read_line(&mut line).map_err(system)?;
            let Some(text) = line.strip_suffix('\n') else { break };
            let refuse = |expected, found: &str, hint| {
                let found = found.chars().take(200).collect();
                Error::Toys {
                    file: path.display().to_string(),
                    line: number,
                    expected,
                    found,
                    hint,
                }
            };
            if number == 1 {
                if text != one_line(configuration) {
                    let expected = "the configuration of this study";
                    let hint = "repeat the options of that run, or begin anew without --resume";
                    return Err(refuse(expected, text, hint));
                }
            } else {
                let Some((key, value)) = parse(text) else {
                    let expected = "`set number bits` of a toy";
                    return Err(refuse(expected, text, "begin anew without --resume"));
                };
                done.insert(key, value);
            }
            whole += bytes as u64;
        }
        if whole == 0 {
            return Journal::create(path, configuration);
        }
        let file = OpenOptions::new().append(true).open(path).map_err(system)?;
        file.set_len(whole).map_err(system)?;
        Ok(Journal { path: path.to_owned(), file: Some(file), done })
    }

    /// Runs toys 0…`n` of a set that are not yet done and returns the results of all, in order.
    /// `progress` is told of each that ends, or was done before.
    ///
    /// The set's name should have no space; it is the word before the number in the file.
    ///
    /// # Errors
    /// The first error of a toy (by number of those that were run), and what the system says; what
    /// has ended is kept.
    pub fn run(
        &mut self,
        set: &str,
        n: u64,
        toy: impl Fn(u64) -> Result<f64, Error> + Sync,
        progress: impl Fn() + Sync,
    ) -> Result<Vec<f64>, Error> {
        let one = |number| Ok([toy(number)?]);
        let [values] = self.run_parts([set], n, one, progress)?;
        Ok(values)
    }

    /// The same for toys with several results, each kept as a set of its own. **Shape**: `[set][toy]`.
    ///
    /// # Errors
    /// Likewise.
    pub fn run_parts<const N: usize>(
        &mut self,
        sets: [&str; N],
        n: u64,
        toy: impl Fn(u64) -> Result<[f64; N], Error> + Sync,
        progress: impl Fn() + Sync,
    ) -> Result<[Vec<f64>; N], Error> {
        let sets = sets.map(|set| set.replace(char::is_whitespace, "_"));
        let key = |set: &String, number: u64| (set.clone(), number);
        let left: Vec<u64> = (0..n)
            .filter(|&k| !sets.iter().all(|set| self.done.contains_key(&key(set, k))))
            .collect();
        (left.len() as u64..n).for_each(|_| progress());
        let path = self.path.clone();
        let shared = Mutex::new(&mut *self);
        let run = |&number: &u64| {
            let values = toy(number)?;
            // A panic in another thread has ended the study anyway.
            let mut journal = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(file) = &mut journal.file {
                let line = |(set, value): (&String, &f64)| {
                    format!("{set} {number} {:016x} {value}\n", value.to_bits())
                };
                let lines: String = sets.iter().zip(&values).map(line).collect();
                file.write_all(lines.as_bytes()).map_err(|error| failed(&path, &error))?;
            }
            for (set, value) in sets.iter().zip(values) {
                journal.done.insert(key(set, number), value);
            }
            progress();
            Ok(())
        };
        // One at a time to whoever is free: toys take long, and not equally.
        let failures: Vec<(u64, Error)> = left
            .par_iter()
            .with_max_len(1)
            .filter_map(|number| run(number).err().map(|error| (*number, error)))
            .collect();
        if let Some((_, error)) = failures.into_iter().min_by_key(|(number, _)| *number) {
            return Err(error);
        }
        let of =
            |set: &String| (0..n).filter_map(|k| self.done.get(&key(set, k)).copied()).collect();
        Ok(sets.each_ref().map(of))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::File { file: path.display().to_string(), problem: error.to_string() }
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn parse(line: &str) -> Option<((String, u64), f64)> {
    let mut words = line.split(' ');
    let (set, number, bits) = (words.next()?, words.next()?, words.next()?);
    let value = f64::from_bits(u64::from_str_radix(bits, 16).ok()?);
    let written: f64 = words.next()?.parse().ok()?;
    let same = written.to_bits() == value.to_bits() || (written.is_nan() && value.is_nan());
    (same && words.next().is_none()).then_some(())?;
    Some(((set.to_owned(), number.parse().ok()?), value))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::rng::Stream;

    fn toy(number: u64) -> Result<f64, Error> {
        Ok(Stream::of(9, number).normal())
    }

    #[test]
    fn results_depend_neither_on_threads_nor_on_interruptions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toys");
        let whole = Journal::in_memory().run("null", 50, toy, || ()).unwrap();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let again = pool.install(|| Journal::in_memory().run("null", 50, toy, || ())).unwrap();
            assert_eq!(again, whole);
        }
        Journal::create(&path, "a = 1").unwrap().run("null", 20, toy, || ()).unwrap();
        // Torn in the middle of a line.
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.truncate(text.len() - 3);
        std::fs::write(&path, &text).unwrap();
        let ran = AtomicU64::new(0);
        let counted = |number| {
            ran.fetch_add(1, Ordering::Relaxed);
            toy(number)
        };
        let mut journal = Journal::resume(&path, "a = 1").unwrap();
        assert_eq!(journal.run("null", 50, counted, || ()).unwrap(), whole);
        assert_eq!(ran.load(Ordering::Relaxed), 31);
        drop(journal);
        let never = |_| -> Result<f64, Error> { panic!("all are done") };
        let mut journal = Journal::resume(&path, "a = 1").unwrap();
        assert_eq!(journal.run("null", 50, never, || ()).unwrap(), whole);
        // Another set is another set.
        assert_eq!(journal.run("signal 1", 2, toy, || ()).unwrap(), whole[..2]);
    }

    #[test]
    fn a_toy_of_which_a_part_is_missing_is_run_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toys");
        let both = |number| Ok([toy(number)?, number as f64]);
        let mut journal = Journal::create(&path, "").unwrap();
        let whole = journal.run_parts(["t", "number"], 6, both, || ()).unwrap();
        assert_eq!(whole[1], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        drop(journal);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 3]).unwrap();
        let ran = AtomicU64::new(0);
        let counted = |number| {
            ran.fetch_add(1, Ordering::Relaxed);
            both(number)
        };
        let mut journal = Journal::resume(&path, "").unwrap();
        assert_eq!(journal.run_parts(["t", "number"], 6, counted, || ()).unwrap(), whole);
        assert_eq!(ran.load(Ordering::Relaxed), 1);
        // Each part is a set.
        assert_eq!(journal.run("t", 6, toy, || ()).unwrap(), whole[0]);
    }

    #[test]
    fn other_configurations_and_damage_are_refused_with_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toys");
        Journal::create(&path, "a = 1").unwrap().run("null", 3, toy, || ()).unwrap();
        let other = Journal::resume(&path, "a = 2").unwrap_err().to_string();
        assert!(other.contains("line 1") && other.contains("hint:"), "{other}");
        let text = std::fs::read_to_string(&path).unwrap();
        let damaged = text.replacen("null 1", "null x", 1).replacen("null 2", "null x", 1);
        std::fs::write(&path, damaged).unwrap();
        let damaged = Journal::resume(&path, "a = 1").unwrap_err().to_string();
        assert!(damaged.contains("expected `set number bits`"), "{damaged}");
    }

    #[test]
    fn a_toy_that_fails_fails_the_study_and_costs_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toys");
        let failing =
            |number| if number == 4 { Err(Error::NoWeight { events: 1 }) } else { toy(number) };
        let mut journal = Journal::create(&path, "").unwrap();
        assert!(journal.run("null", 10, failing, || ()).is_err());
        drop(journal);
        assert_eq!(Journal::resume(&path, "").unwrap().done.len(), 9);
    }
}
