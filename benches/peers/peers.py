"""Times isotree, coniferest, scikit-learn, onnxruntime and scout40 on the same rows: see README.md.

Started by run.sh, which pins it to one core. Every contestant scores the same rows in turn, round
after round, so that what changes on the machine meets all of them alike. Time is CPU time of one
thread. Forests that scout40 imports are checked to give the library's own scores; the network that
onnxruntime gets is that of scout40 before it was made of integers, and their scores are correlated.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import coniferest.isoforest
import isotree
import numpy as np
import onnx
import onnxruntime
import sklearn.ensemble
from onnxruntime.quantization import QuantType, quantize_dynamic

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "fixtures/reference"))
import export  # noqa: E402

STREAM = ROOT / "fixtures/streams/zero-bias.s40"
LIBRARIES = ("isotree", "coniferest", "scikit-learn", "onnxruntime", "numpy")
# Rows to train on, and rows to score: none in both.
N_TRAINING, N_SCORED = 200_000, 65_536


class Ours:
    """scout40 with a model file; timed in a process of its own, on the same core."""

    def __init__(self, bench, name, model, batch=512):
        self.bench, self.name, self.model, self.batch = bench, name, model, batch

    def pass_(self):
        spent = self.bench.run("score_rows", "speed", STREAM, self.model, N_TRAINING,
                               self.bench.n_scored, self.bench.milliseconds, self.batch)
        spent = json.loads(spent)
        return spent["events"], spent["cpu_ns"] * 1e-9

    def scores(self):
        out = self.bench.work / "scores.npy"
        self.bench.run("score_rows", "show", STREAM, self.model, N_TRAINING,
                       self.bench.n_scored, out)
        return np.load(out)


class Theirs:
    """A Python library: a function of rows that are already of the type it likes best."""

    def __init__(self, name, score, rows):
        self.name, self.score, self.rows = name, score, rows

    def pass_(self):
        begin = time.process_time()
        self.score(self.rows)
        return len(self.rows), time.process_time() - begin


class Bench:
    def __init__(self, args):
        self.args = args
        self.work = args.work
        self.milliseconds = 100 if args.quick else 1000
        self.n_scored = 4096 if args.quick else N_SCORED
        rows = self.work / "rows.npy"
        self.run("score_rows", "rows", STREAM, rows)
        rows = np.load(rows)
        self.training = rows[:N_TRAINING].astype(np.float64)
        # Each library converts to one of these if it is given another type.
        scored = rows[N_TRAINING:N_TRAINING + self.n_scored]
        self.scored64 = np.ascontiguousarray(scored, np.float64)
        self.scored32 = np.ascontiguousarray(scored, np.float32)

    def run(self, binary, *words):
        command = [str(self.args.binaries / binary), *map(str, words)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def imported(self, library, name, document, expected):
        """A library's forest in scout40, which has to score as there."""
        path = self.work / f"{library}.json"
        path.write_text(json.dumps(document, default=str))
        model = self.work / f"{name}-{library}.model"
        self.run("scout40", "import", library, path, "-o", model, "--features", "l1-57", "--force")
        ours = Ours(self, f"scout40, {library}'s forest", model)
        difference = np.abs(ours.scores() - expected).max()
        assert difference < 1e-6, f"{name}, {library}: scores differ by {difference}"
        return ours

    def networks(self, name, *options):
        """An autoencoder of ours, and the same in onnxruntime: f32, and weights of 8 bits."""
        model = self.work / f"{name}.model"
        self.run("scout40", "train", "autoencoder", "--input", STREAM, "--rows",
                 f"0..{N_TRAINING}", "--epochs", 1, *options, "-o", model, "--force")
        net = json.loads(self.run("score_rows", "net", model))
        offset, shift = np.array(net["inputs"]).T
        codes = (self.scored64.astype(np.int64) - offset) * 2.0 ** -shift
        codes = (np.clip(np.floor(codes), 0, 255) / 128).astype(np.float32)
        exact = self.work / f"{name}.onnx"
        onnx.save(network_document(net), exact)
        small = self.work / f"{name}-int8.onnx"
        quantize_dynamic(exact, small, weight_type=QuantType.QInt8)
        for batch in (64, 512, 8192):
            sessions = {"f32": session(exact), "int8": session(small)}
            score = {kind: in_batches(session, batch) for kind, session in sessions.items()}
            ours = Ours(self, f"scout40, batches of {min(batch, 512)}", model, min(batch, 512))
            theirs = score["f32"](codes)
            ours_agree, int8_agree = (
                np.corrcoef(scores, theirs)[0, 1] for scores in (ours.scores(), score["int8"](codes)))
            # A reconstruction that is nearly right leaves little but rounding: int8 has 0.93.
            assert ours_agree > 0.8, f"{name}: scores are correlated by {ours_agree} only"
            note = f"correlated with f32: int8 {int8_agree:.3f}, scout40 {ours_agree:.3f}"
            yield f"batches of {batch} ({note})", [
                *(Theirs(f"onnxruntime {kind}", score[kind], codes) for kind in score), ours]

    def trained(self, name, *options):
        model = self.work / f"{name}.model"
        self.run("scout40", "train", "forest", "--input", STREAM, "--rows", f"0..{N_TRAINING}",
                 "--trees", 100, *options, "-o", model, "--force")
        return Ours(self, "scout40, its own forest", model)

    def isotree(self, sample_size, max_depth, ndim=1):
        # Without missing values, `fail` is what takes isotree's fast path.
        forest = isotree.IsolationForest(
            ntrees=100, sample_size=sample_size, max_depth=max_depth, ndim=ndim, nthreads=1,
            missing_action="fail", random_seed=1)
        return forest.fit(self.training)

    def axis_parallel(self, name, sample_size, max_depth):
        isolation = self.isotree(sample_size, max_depth)
        conifer = coniferest.isoforest.IsolationForest(
            n_trees=100, n_subsamples=sample_size, max_depth=max_depth, n_jobs=1, random_seed=1)
        # Trees take the type of their training rows; 32 bits are faster here.
        conifer.fit(self.training.astype(np.float32))
        sk = sklearn.ensemble.IsolationForest(
            n_estimators=100, max_samples=sample_size, n_jobs=1, random_state=1)
        sk.fit(self.training)
        return [
            Theirs("isotree", isolation.predict, self.scored64),
            Theirs("coniferest", conifer.score_samples, self.scored32),
            Theirs("scikit-learn", sk.score_samples, self.scored32),
            self.imported("isotree", name, export.isotree_document(isolation),
                          isolation.predict(self.scored64)),
            self.imported("sklearn", name, export.sklearn_document(sk),
                          -sk.score_samples(self.scored32)),
            self.trained(name, "--sample-size", sample_size, "--max-depth", max_depth),
        ]

    def extended(self, name, sample_size, max_depth):
        isolation = self.isotree(sample_size, max_depth, ndim=2)
        return [
            Theirs("isotree", isolation.predict, self.scored64),
            self.trained(name, "--sample-size", sample_size, "--max-depth", max_depth,
                         "--extension-level", 1),
        ]

    def measure(self, contestants):
        """Events per second of every round. The first round warms up and does not count."""
        speeds = {contestant.name: [] for contestant in contestants}
        for number in range(self.args.rounds + 1):
            for contestant in contestants:
                events, seconds = contestant.pass_()
                if number > 0:
                    speeds[contestant.name].append(events / seconds)
        return speeds


def network_document(net):
    """The network as ONNX: codes in, squared distances from the targets out."""
    nodes, constants = [], []

    def constant(name, value, kind=np.float32):
        constants.append(onnx.numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def node(operator, *inputs, **attributes):
        nodes.append(onnx.helper.make_node(operator, inputs, [f"v{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    x = "codes"
    for k, layer in enumerate(net["layers"]):
        weights = np.reshape(layer["weights"], (len(layer["biases"]), -1)).T
        x = node("MatMul", x, constant(f"w{k}", weights))
        x = node("Add", x, constant(f"b{k}", layer["biases"]))
        if k + 1 < len(net["layers"]):
            x = node("Clip", x, constant(f"zero{k}", 0), constant(f"cap{k}", net["cap"]))
    if net["targets"]:
        x = node("Sub", node("Gather", "codes", constant("t", net["targets"], np.int64), axis=1), x)
    nodes.append(onnx.helper.make_node("ReduceSumSquare", [x, constant("axis", [1], np.int64)],
                                       ["score"], keepdims=0))
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "network",
        [value("codes", onnx.TensorProto.FLOAT, ["n", len(net["inputs"])])],
        [value("score", onnx.TensorProto.FLOAT, ["n"])], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)])
    model.ir_version = 10
    onnx.checker.check_model(model, full_check=True)
    return model


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def in_batches(session, batch):
    def score(codes):
        parts = [codes[k:k + batch] for k in range(0, len(codes), batch)]
        return np.concatenate([session.run(None, {"codes": part})[0] for part in parts])
    return score


def table(title, speeds):
    """Lines of a table; ratios are medians over the fastest library's median."""
    others = {n: statistics.median(s) for n, s in speeds.items() if not n.startswith("scout40")}
    fastest = max(others, key=others.get)
    lines = [title, f"{'':28} {'best':>10} {'median':>10}   events/us, one core; x {fastest}"]
    for name, values in speeds.items():
        best, median = max(values), statistics.median(values)
        ratio = median / others[fastest]
        lines.append(f"{name:28} {best / 1e6:10.4f} {median / 1e6:10.4f} {ratio:8.2f} x")
    return "\n".join(lines) + "\n"


def head(bench):
    lines = [
        "rows       fixtures/streams/zero-bias.s40, layout l1-57: trained on rows "
        f"0..{N_TRAINING}, {bench.n_scored} rows from {N_TRAINING} on scored",
        f"rounds     {bench.args.rounds}, interleaved, after one to warm up; CPU time, one thread",
        f"core       {bench.args.core}",
        f"python     {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    ]
    return bench.run("machine") + "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binaries", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--core", type=int, default=1, help="which core to run on")
    parser.add_argument("--rounds", type=int, default=7, help="how often everybody's turn comes")
    parser.add_argument("--quick", action="store_true", help="few rows: to see that it works")
    parser.add_argument("--record", type=Path, help="where to write what is printed")
    parser.add_argument("--only", choices=("forests", "networks"), help="leave out the others")
    bench = Bench(parser.parse_args())
    text = head(bench)
    print(text, flush=True)
    for title, speeds in contests(bench):
        part = table(title, speeds)
        print(part, flush=True)
        text += "\n" + part
    if bench.args.record:
        bench.args.record.parent.mkdir(parents=True, exist_ok=True)
        bench.args.record.write_text(text)
        print(f"written    {bench.args.record}")


def contests(bench):
    """Title and speeds of each."""
    forests = {
        "100 trees, 256 rows each, depth 8": lambda: bench.axis_parallel("small", 256, 8),
        "100 trees, 10 000 rows each, depth 14": lambda: bench.axis_parallel("deep", 10_000, 14),
        "100 trees, 256 rows each, depth 8, two features per split":
            lambda: bench.extended("extended", 256, 8),
    }
    networks = {
        "autoencoder 57-32-16-8, squared length of the outputs": [],
        "autoencoder 57-32-16-8-16-32-19, squared error of 19 pT":
            ["--kind", "reconstruction", "--targets", "pt"],
    }
    if bench.args.only != "networks":
        for title, contest in forests.items():
            yield title, bench.measure(contest())
    if bench.args.only != "forests":
        for title, options in networks.items():
            name = title.split(",")[0].replace(" ", "-")
            for batches, contestants in bench.networks(name, *options):
                yield f"{title}, {batches}", bench.measure(contestants)


if __name__ == "__main__":
    main()
