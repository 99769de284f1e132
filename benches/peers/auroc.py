"""AUROC of scout40's isolation forests beside isotree's, on the eight signals of the fixtures.

After run.sh has made the Python environment and the binaries (which binaries and where the rows
go can be said as there):

    target/peers/venv/bin/python benches/peers/auroc.py --binaries target/release --work target/peers

Both train on rows 0..200000 of the zero-bias fixture; the background is what comes after. Prints the
table of docs/numbers.md: means over forests of different seeds, ± the standard deviation of one
forest, and how many standard errors of their difference the two means are apart. The events are the
same for both, so their statistics are not in it. Nothing here measures time.
"""

import argparse
import subprocess
from pathlib import Path

import isotree
import numpy as np
from sklearn.metrics import roc_auc_score

STREAMS = Path(__file__).resolve().parents[2] / "fixtures/streams"
N_TRAINING, N_TREES = 200_000, 100
ALL = 10**9


class Forests:
    """Trains forests of both kinds, and scores the background and each signal with them."""

    def __init__(self, binaries, work):
        self.binaries, self.work = binaries, work
        work.mkdir(parents=True, exist_ok=True)
        zero_bias = self.rows("zero-bias")
        self.training = zero_bias[:N_TRAINING]
        names = sorted(path.stem for path in STREAMS.glob("*.s40") if path.stem != "zero-bias")
        self.signals = {name: self.rows(name) for name in names}
        self.background = zero_bias[N_TRAINING:]

    def run(self, binary, *words):
        subprocess.run([self.binaries / binary, *map(str, words)], check=True, capture_output=True)

    def rows(self, name):
        out = self.work / "rows.npy"
        self.run("score_rows", "rows", STREAMS / f"{name}.s40", out)
        return np.load(out).astype(np.float64)

    def ours(self, sample_size, max_depth, seed):
        model, out = self.work / "auroc.model", self.work / "scores.npy"
        self.run("scout40", "train", "forest", "--input", STREAMS / "zero-bias.s40",
                 "--rows", f"0..{N_TRAINING}", "--trees", N_TREES, "--sample-size", sample_size,
                 "--max-depth", max_depth, "--seed", seed, "-o", model, "--force")

        def score(name, first=0):
            self.run("score_rows", "show", STREAMS / f"{name}.s40", model, first, ALL, out)
            return np.load(out)

        return self.aurocs(score("zero-bias", N_TRAINING), score)

    def isotree(self, sample_size, max_depth, seed):
        forest = isotree.IsolationForest(
            ntrees=N_TREES, sample_size=sample_size, max_depth=max_depth, ndim=1,
            missing_action="fail", random_seed=seed).fit(self.training)
        return self.aurocs(forest.predict(self.background),
                           lambda name: forest.predict(self.signals[name]))

    def aurocs(self, background, score):
        def auroc(signal):
            truth = np.repeat([0, 1], [len(background), len(signal)])
            return roc_auc_score(truth, np.concatenate([background, signal]))

        return [auroc(score(name)) for name in self.signals]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binaries", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5, help="forests of each kind")
    args = parser.parse_args()
    forests = Forests(args.binaries, args.work)
    # isotree grows tree k with seed + k: neighbouring seeds would share trees.
    seeds = [1 + 1000 * k for k in range(args.seeds)]
    for sample_size, max_depth in [(256, 8), (10_000, 14)]:
        ours, theirs = (np.array([train(sample_size, max_depth, seed) for seed in seeds])
                        for train in (forests.ours, forests.isotree))
        print(f"\n| {N_TREES} × {sample_size}, depth {max_depth} | scout40 | isotree | apart |")
        print("|---|---|---|---|")
        for name, a, b in zip(forests.signals, ours.T, theirs.T):
            error = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / args.seeds)
            cells = [f"{x.mean():.4f} ± {x.std(ddof=1):.4f}" for x in (a, b)]
            print(f"| {name} | {cells[0]} | {cells[1]} | {(a.mean() - b.mean()) / error:+.1f} |",
                  flush=True)


if __name__ == "__main__":
    main()
