"""Scores and speed of scout40 beside the compiled emulator of the trigger's network.

usage: axol1tl.py CHECKOUT [--versions 3,4,5] [--core N] [--rounds N] [--rows N] [--record FILE]

CHECKOUT is a clone of https://github.com/cms-hls4ml/AXOL1TL, which has no licence and is yours to supply.
Needs g++, numpy and hls4ml (`pip install -r fixtures/reference/requirements-hls.txt`): the emulators are
compiled with the C++ headers that come with it, as their Makefile does (-O3). Build the binaries first:

    cargo build --release -p scout40 -p scout40-benches --bin scout40 --bin score_rows

Both sides score the same rows, on one core, in turn, round after round: the zero-bias fixture, and random
integers that reach the ends of every type. Every score is compared. The emulator is timed from integers in
its own type to the loss; ours from filled rows, in batches of 512. Time is CPU time of one thread. What
is recorded are scores compared and times, nothing of the checkout.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "fixtures/reference"))
from make_fixed import templates  # noqa: E402

STREAM = ROOT / "fixtures/streams/zero-bias.s40"
N_FEATURES = 57

# What the emulators include and do not bring: the interface that they implement.
EMULATOR_H = """#pragma once
#include <any>
namespace hls4mlEmulator {
class Model {
  public:
    virtual ~Model() = default;
    virtual void prepare_input(std::any input) = 0;
    virtual void predict() = 0;
    virtual void read_result(std::any result) = 0;
};
}
"""

MAIN = """#include <any>
#include <array>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <utility>
#include <vector>
#include "ap_fixed.h"
#include "ap_int.h"
// The loss is a member, and what `read_result` writes to differs from version to version.
#define private public
#include "GTADModel_emulator_v{version}.cpp"
#undef private

static double cpu_s() {{
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}}

// usage: main ROWS.i16 SCORES.i32 PASSES
int main(int, char **argv) {{
    FILE *file = fopen(argv[1], "rb");
    std::vector<unscaled_t> rows;
    int16_t value;
    while (fread(&value, 2, 1, file) == 1) rows.push_back(value);
    fclose(file);
    size_t n = rows.size() / {n_features};
    std::vector<int32_t> scores(n);
    GTADModel_emulator_v{version} model;
    double begin = cpu_s();
    int passes = atoi(argv[3]);
    for (int pass = 0; pass < passes; pass++)
        for (size_t i = 0; i < n; i++) {{
            unscaled_t *row = &rows[i * {n_features}];
            model.prepare_input(std::any(row));
            model.predict();
            scores[i] = (model._loss * 16).to_int();
        }}
    printf("%zu %.9f\\n", n * passes, cpu_s() - begin);
    file = fopen(argv[2], "wb");
    fwrite(scores.data(), 4, n, file);
    fclose(file);
}}
"""


class Emulator:
    """One version, compiled."""

    def __init__(self, checkout, version, work):
        folder = checkout / f"AXOL1TL_v{version}"
        (work / "emulator.h").write_text(EMULATOR_H)
        main = work / f"main_v{version}.cpp"
        main.write_text(MAIN.format(version=version, n_features=N_FEATURES))
        self.binary = work / f"emulator_v{version}"
        command = ["g++", "-O3", "-std=c++17", "-w", f"-I{templates() / 'ap_types'}", f"-I{work}", f"-I{folder}",
                   f"-I{folder / 'NN'}", main, folder / "NN" / f"GTADModel_v{version}.cpp", "-o", self.binary]
        subprocess.run(command, check=True)

    def score(self, rows, out, passes=1):
        """Events and seconds."""
        text = subprocess.run([self.binary, rows, out, str(passes)], check=True, stdout=subprocess.PIPE, text=True).stdout
        events, seconds = text.split()
        return int(events), float(seconds)


def random_rows(n):
    """Half of them like events, half with integers from everywhere."""
    rng = np.random.default_rng(57)
    like_events = rng.integers(-144, 576, (n // 2, N_FEATURES)) >> rng.integers(0, 6, (n // 2, N_FEATURES))
    anywhere = rng.integers(-(1 << 15), 1 << 15, (n - n // 2, N_FEATURES)) >> rng.integers(0, 14, (n - n // 2, 1))
    return np.concatenate([like_events, anywhere]).astype("<i2")


def compare(version, emulator, ours, options, work):
    zero_bias, random = work / "zero-bias.i16", work / "random.i16"
    if not zero_bias.exists():
        ours("rows", STREAM, work / "rows.npy", "axol1tl")
        np.load(work / "rows.npy")[:options.rows].astype("<i2").tofile(zero_bias)
        random_rows(options.rows).tofile(random)
    model = work / f"v{version}.model"
    lines = []
    for name, rows in [("zero bias", zero_bias), ("random", random)]:
        emulator.score(rows, work / "theirs.i32")
        ours("score", rows, model, work / "ours.i32")
        theirs, own = (np.fromfile(work / f"{who}.i32", "<i4") for who in ("theirs", "ours"))
        assert len(theirs) == len(own) == options.rows
        wrong = int((theirs != own).sum())
        lines.append(f"v{version}  {name:<10} {options.rows:>9} scores, {wrong} differ, "
                     f"{len(np.unique(own))} different ones, {own.min()} .. {own.max()}")
        assert wrong == 0, lines[-1]
    speeds = {"emulator": [], "scout40": []}
    for _ in range(options.rounds):
        events, seconds = emulator.score(zero_bias, work / "theirs.i32")
        speeds["emulator"].append(events / seconds)
        spent = json.loads(ours("speed", STREAM, model, 0, 65_536, 500))
        speeds["scout40"].append(spent["events"] / (spent["cpu_ns"] * 1e-9))
    medians = {who: statistics.median(values) * 1e-6 for who, values in speeds.items()}
    best = {who: max(values) * 1e-6 for who, values in speeds.items()}
    for who in speeds:
        lines.append(f"v{version}  {who:<10} {medians[who]:>9.3f} M events/s, median of {options.rounds} rounds (best {best[who]:.3f})")
    lines.append(f"v{version}  ratio      {medians['scout40'] / medians['emulator']:>9.0f} of medians, "
                 f"{best['scout40'] / best['emulator']:.0f} of the best")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--versions", default="3,4,5")
    parser.add_argument("--core", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--binaries", type=Path, default=ROOT / "target/release")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    # Whatever is started from here runs there, too.
    os.sched_setaffinity(0, {options.core})

    def ours(*words):
        command = [options.binaries / "score_rows", *map(str, words)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    lines = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for version in options.versions.split(","):
            emulator = Emulator(options.checkout, version, work)
            folder = options.checkout / f"AXOL1TL_v{version}"
            command = [options.binaries / "scout40", "import", "axol1tl", folder, "-o", work / f"v{version}.model"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            for line in compare(version, emulator, ours, options, work):
                print(line, flush=True)
                lines.append(line)
    if options.record:
        machine = subprocess.run([options.binaries / "machine"], stdout=subprocess.PIPE, text=True).stdout
        options.record.write_text(machine + "\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
