//! Hyper-parameters to try: every combination of lists (grid), or so many drawn at random from lists and ranges.
//!
//! ```toml
//! [[search]]
//! kind = "forest"                                       # as in a recipe, but
//! trees = [50, 100]                                     # lists are tried one by one,
//! sample-size = { min = 256, max = 20000, log = true }  # ranges are drawn from (with --random)
//! ```
//!
//! What is drawn is a hash of the seed, the number of the candidate and the option: it does not depend on
//! what else is searched.

use anyhow::{Context, Result, bail, ensure};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Most candidates of a search: more would take years.
const CANDIDATES_MAX: usize = 100_000;

/// A combination of hyper-parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Name of its search.
    pub search: String,
    /// Fixed and chosen options, without lists and ranges.
    pub settings: toml::Table,
    /// What was chosen, for people.
    pub chosen: String,
}

/// A range to draw from.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    min: f64,
    max: f64,
    is_log: bool,
    is_integer: bool,
}

/// One table of the file.
#[derive(Clone, Debug, PartialEq)]
struct Search {
    name: String,
    fixed: toml::Table,
    lists: Vec<(String, Vec<toml::Value>)>,
    ranges: Vec<(String, Range)>,
}

/// The candidates of a file: all combinations, or `n_random` of them per search.
///
/// # Errors
/// Text that is no search, ranges in a grid, too many candidates.
pub fn candidates(text: &str, n_random: Option<u32>, rng_seed: u64) -> Result<Vec<Candidate>> {
    let table: toml::Table = text.parse()?;
    if let Some(other) = table.keys().find(|key| *key != "search") {
        bail!("expected tables `[[search]]`, found `{other}`");
    }
    let searches = table.get("search").and_then(toml::Value::as_array);
    let searches = searches.context("expected at least one table `[[search]]`, found none")?;
    let mut all: Vec<Candidate> = Vec::new();
    for (place, search) in searches.iter().enumerate() {
        let search = Search::new(search, place)?;
        let found = match n_random {
            None => search.grid()?,
            Some(n) => (0..n).map(|k| search.random(k, rng_seed)).collect(),
        };
        for candidate in found {
            // Drawn twice, tried once.
            if all.iter().all(|other| other.settings != candidate.settings) {
                all.push(candidate);
            }
        }
        ensure!(
            all.len() <= CANDIDATES_MAX,
            "expected at most {CANDIDATES_MAX} candidates\nhint: draw some with `--random`"
        );
    }
    Ok(all)
}

impl Search {
    fn new(value: &toml::Value, place: usize) -> Result<Search> {
        let table = value.as_table().context("expected a table for each search")?;
        let kind = table.get("kind").and_then(toml::Value::as_str).unwrap_or_default();
        let name = table.get("name").and_then(toml::Value::as_str);
        let name = name.map_or_else(|| format!("{kind} {}", place + 1), str::to_owned);
        let mut search =
            Search { name, fixed: toml::Table::new(), lists: Vec::new(), ranges: Vec::new() };
        for (option, value) in table.iter().filter(|(option, _)| *option != "name") {
            match value {
                toml::Value::Array(values) => {
                    ensure!(
                        !values.is_empty(),
                        "`{option}`: expected something to try, found none"
                    );
                    search.lists.push((option.clone(), values.clone()));
                }
                toml::Value::Table(range) => {
                    let range = Range::new(range).with_context(|| format!("`{option}`"))?;
                    search.ranges.push((option.clone(), range));
                }
                other => drop(search.fixed.insert(option.clone(), other.clone())),
            }
        }
        Ok(search)
    }

    /// Every combination, the last list running fastest.
    fn grid(&self) -> Result<Vec<Candidate>> {
        if let Some((option, _)) = self.ranges.first() {
            bail!(
                "`{option}` of the search `{}` is a range, of which a grid knows no points\n\
                 hint: a list of values, or `--random N`",
                self.name
            );
        }
        let n = self.lists.iter().try_fold(1_usize, |n, (_, values)| n.checked_mul(values.len()));
        let n = n.filter(|&n| n <= CANDIDATES_MAX).with_context(|| {
            format!("expected at most {CANDIDATES_MAX} candidates\nhint: draw some with `--random`")
        })?;
        let candidate = |mut number: usize| {
            let mut places = vec![0; self.lists.len()];
            for (place, (_, values)) in places.iter_mut().zip(&self.lists).rev() {
                *place = number % values.len();
                number /= values.len();
            }
            let chosen = self.lists.iter().zip(places);
            self.candidate(chosen.map(|((o, values), place)| (o.clone(), values[place].clone())))
        };
        Ok((0..n).map(candidate).collect())
    }

    fn random(&self, number: u32, rng_seed: u64) -> Candidate {
        // Uniform in 0 to 1, without 1.
        let uniform = |option: &str| {
            let key = format!("{}\0{option}\0{number}", self.name);
            (xxh3_64_with_seed(key.as_bytes(), rng_seed) >> 11) as f64 / (1_u64 << 53) as f64
        };
        let lists = self.lists.iter().map(|(option, values)| {
            let place = (uniform(option) * values.len() as f64) as usize;
            (option.clone(), values[place].clone())
        });
        let ranges = self.ranges.iter().map(|(o, range)| (o.clone(), range.at(uniform(o))));
        self.candidate(lists.chain(ranges))
    }

    fn candidate(&self, chosen: impl Iterator<Item = (String, toml::Value)>) -> Candidate {
        let mut settings = self.fixed.clone();
        let mut words = Vec::new();
        for (option, value) in chosen {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            words.push(format!("{option}={text}"));
            settings.insert(option, value);
        }
        Candidate { search: self.name.clone(), settings, chosen: words.join(" ") }
    }
}

impl Range {
    fn new(table: &toml::Table) -> Result<Range> {
        let known = ["min", "max", "log"];
        if let Some(other) = table.keys().find(|key| !known.contains(&key.as_str())) {
            bail!("expected a range of `min`, `max` and `log`, found `{other}`");
        }
        let end = |name: &str| -> Result<(f64, bool)> {
            let value = table.get(name).with_context(|| format!("expected `{name}` of a range"))?;
            let number = value.as_float().or_else(|| value.as_integer().map(|k| k as f64));
            let number = number.filter(|x| x.is_finite());
            Ok((
                number.with_context(|| format!("`{name}`: expected a number"))?,
                value.is_integer(),
            ))
        };
        let ((min, min_integer), (max, max_integer)) = (end("min")?, end("max")?);
        let is_log = match table.get("log") {
            None => false,
            Some(value) => value.as_bool().context("`log`: expected true or false")?,
        };
        ensure!(min < max, "expected `min` below `max`, found {min} and {max}");
        ensure!(!is_log || min > 0.0, "expected `min` above zero with `log`, found {min}");
        Ok(Range { min, max, is_log, is_integer: min_integer && max_integer })
    }

    /// The value at a fraction of the range; of integers, each of them equally likely.
    fn at(&self, fraction: f64) -> toml::Value {
        let max = if self.is_integer { self.max + 1.0 } else { self.max };
        let value = if self.is_log {
            self.min * (max / self.min).powf(fraction)
        } else {
            self.min + fraction * (max - self.min)
        };
        if self.is_integer {
            return toml::Value::Integer((value.floor() as i64).min(self.max as i64));
        }
        // Four digits are enough, and read better.
        let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
        toml::Value::Float(rounded.clamp(self.min, self.max))
    }
}

/// Which of these (cost, benefit) are on the front: nothing else costs no more and brings at least as much,
/// but for equals.
#[must_use]
pub fn front(points: &[(f64, f64)]) -> Vec<bool> {
    let beaten = |&(cost, benefit): &(f64, f64)| {
        points.iter().any(|&(other_cost, other_benefit)| {
            let no_worse = other_cost <= cost && other_benefit >= benefit;
            no_worse && (other_cost < cost || other_benefit > benefit)
        })
    };
    points.iter().map(|point| !beaten(point)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: &str = "[[search]]\nkind = 'forest'\ntrees = [10, 20]\nsample-size = [64, 128, 256]\n\
                        metric = 'depth'\n[[search]]\nname = 'ae'\nkind = 'autoencoder'";

    #[test]
    fn a_grid_is_every_combination_once() {
        let found = candidates(GRID, None, 1).unwrap();
        assert_eq!(found.len(), 7);
        let chosen: Vec<&str> = found.iter().map(|candidate| candidate.chosen.as_str()).collect();
        assert!(chosen.contains(&"sample-size=128 trees=20"), "{chosen:?}");
        assert_eq!(found[0].search, "forest 1");
        assert_eq!((found[6].search.as_str(), found[6].chosen.as_str()), ("ae", ""));
        let settings = &found[3].settings;
        assert_eq!((settings["kind"].as_str(), settings.len()), (Some("forest"), 4));
        let mut different: Vec<String> = found.iter().map(|c| c.settings.to_string()).collect();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 7);
    }

    #[test]
    fn what_is_drawn_is_within_its_range_and_the_same_for_the_same_seed() {
        let text = "[[search]]\nkind = 'autoencoder'\nhidden = ['8-2-8', '16-4-16']\n\
                    latent = { min = 2, max = 4 }\nlearning-rate = { min = 1e-4, max = 1e-2, log = true }";
        let found = candidates(text, Some(400), 3).unwrap();
        assert_eq!(found, candidates(text, Some(400), 3).unwrap());
        assert_ne!(found, candidates(text, Some(400), 4).unwrap());
        let mut low = 0;
        let mut latent = [0; 5];
        for candidate in &found {
            let rate = candidate.settings["learning-rate"].as_float().unwrap();
            assert!((1e-4..=1e-2).contains(&rate));
            low += usize::from(rate < 1e-3);
            latent[candidate.settings["latent"].as_integer().unwrap() as usize] += 1;
        }
        // Half of about 400 are below the geometric mean (sigma 10), a third is each integer (sigma 9).
        assert!((140..260).contains(&low), "{low}");
        assert!(latent[2..].iter().all(|n| (80..190).contains(n)), "{latent:?}");
    }

    #[test]
    fn searches_that_cannot_be_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "`[[search]]`"),
            ("trees = 5", "found `trees`"),
            ("[[search]]\ntrees = []", "something to try"),
            ("[[search]]\ntrees = { min = 5, max = 9 }", "--random N"),
            ("[[search]]\ntrees = { min = 9, max = 5 }", "`min` below `max`"),
            ("[[search]]\ntrees = { min = 0, max = 5, log = true }", "above zero"),
            ("[[search]]\ntrees = { from = 1 }", "found `from`"),
        ] {
            let error = candidates(text, None, 1).unwrap_err();
            assert!(format!("{error:#}").contains(reason), "{text}: {error:#}");
        }
        let list = format!("[{}]", (0..1000).map(|k| k.to_string()).collect::<Vec<_>>().join(","));
        let large = format!("[[search]]\na = {list}\nb = {list}\nc = {list}");
        assert!(candidates(&large, None, 1).unwrap_err().to_string().contains("at most 100000"));
    }

    #[test]
    fn the_front_is_what_nothing_beats() {
        let points = [(10.0, 0.2), (5.0, 0.1), (20.0, 0.2), (40.0, 0.5), (41.0, 0.4), (10.0, 0.2)];
        assert_eq!(front(&points), [true, true, false, true, false, true]);
        assert!(front(&[]).is_empty());
    }
}
