//! Cross-validation: rows are cut into folds, and each is held out once. Not shuffled, as scikit-learn's `KFold`:
//! neighbouring crossings stay together, and what a model was trained on are ranges that its file can hold.

use std::ops::Range;

use anyhow::{Result, ensure};

/// What is trained on and what is held out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Rows to train on, ascending; not empty.
    pub training: Vec<Range<u64>>,
    /// Rows that are held out; none if all are trained on.
    pub held_out: Option<Range<u64>>,
}

/// Cuts rows into so many folds; the first ones are one row longer where they do not come out even. One
/// fold is all rows, with nothing held out.
///
/// # Errors
/// No fold, and fewer rows than folds.
pub fn folds(rows: &Range<u64>, n_folds: u64) -> Result<Vec<Fold>> {
    let n_rows = rows.end.saturating_sub(rows.start);
    ensure!(
        (1..=n_rows).contains(&n_folds),
        "expected 1 to {n_rows} folds, one row each at least, found {n_folds}"
    );
    if n_folds == 1 {
        return Ok(vec![Fold { training: vec![rows.clone()], held_out: None }]);
    }
    let edge = |k: u64| rows.start + k * (n_rows / n_folds) + k.min(n_rows % n_folds);
    let fold = |k: u64| {
        let held_out = edge(k)..edge(k + 1);
        let parts = [rows.start..held_out.start, held_out.end..rows.end];
        let training = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Fold { training, held_out: Some(held_out) }
    };
    Ok((0..n_folds).map(fold).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[(len(test), test[0]) for _, test in KFold(5).split(range(23))]` of scikit-learn 1.9.1.
    const SKLEARN: [(u64, u64); 5] = [(5, 0), (5, 5), (5, 10), (4, 15), (4, 19)];

    #[test]
    fn folds_are_those_of_scikit_learn() {
        let found = folds(&(100..123), 5).unwrap();
        for (fold, (n, first)) in found.iter().zip(SKLEARN) {
            let held_out = fold.held_out.clone().unwrap();
            assert_eq!(held_out, 100 + first..100 + first + n);
            let mut rows: Vec<u64> = fold.training.iter().cloned().flatten().collect();
            assert!(rows.iter().all(|row| !held_out.contains(row)) && rows.is_sorted());
            rows.extend(held_out);
            rows.sort_unstable();
            assert_eq!(rows, (100..123).collect::<Vec<_>>(), "every row once");
        }
        assert_eq!((found[0].training.len(), &found[0].training[0]), (1, &(105..123)));
        assert_eq!(found[2].training, [100..110, 115..123]);
    }

    #[test]
    fn one_fold_holds_nothing_out_and_more_folds_than_rows_are_refused() {
        let all = folds(&(3..9), 1).unwrap();
        assert_eq!(all, [Fold { training: vec![3..9; 1], held_out: None }]);
        assert!(
            folds(&(3..9), 7).is_err() && folds(&(3..9), 0).is_err() && folds(&(3..3), 1).is_err()
        );
        assert_eq!(folds(&(3..9), 6).unwrap()[5].held_out, Some(8..9));
    }
}
