"""Makes an hls4ml project of the network in `network.json` beside this file.

usage: python build.py                          write the project to `project/`
       python build.py --compile                and compile its C++ emulation (needs g++)
       python build.py --score ROWS.npy OUT.npy compile, and score rows of features (integers)

Needs hls4ml (pip install hls4ml; tested with 1.3.0) and numpy. The output of the project is the score of
scout40: the same integer. Its inputs are codes, which `codes` makes of the features of a row.
"""

import argparse
import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent


def codes(network, rows):
    """Codes of rows of integers: `(x - offset) >> shift` within 0 and 255."""
    offsets, shifts = np.array(network["offsets_and_shifts"], dtype=np.int64).T
    differences = rows.astype(np.int64) - offsets
    return np.clip(np.where(shifts < 0, differences << np.maximum(-shifts, 0), differences >> np.maximum(shifts, 0)), 0, 255)


def hls_layers(network):
    """Layers and types as hls4ml takes them."""
    start = network["input"]
    layers = [{"name": start["name"], "class_name": "InputLayer", "input_shape": [start["n"]], "inputs": [start["name"]],
               "outputs": [start["name"]]}]
    types = {start["name"]: {"Precision": {"result": start["type"]}}}
    for layer in network["layers"]:
        hls = {"name": layer["name"], "inputs": layer["inputs"], "outputs": [layer["name"]]}
        precision = {key: layer[key] for key in ("weight", "bias", "accum", "result") if key in layer}
        if layer["kind"] == "dense":
            unit = 2.0 ** -layer["fraction_bits"]
            weights = np.array(layer["weights"], dtype=np.float64).reshape(layer["n_in"], layer["n_out"])
            hls.update(class_name="Dense", n_in=layer["n_in"], n_out=layer["n_out"], weight_data=weights * unit,
                       bias_data=np.array(layer["biases"], dtype=np.float64) * unit)
        elif layer["kind"] == "relu":
            hls.update(class_name="Activation", activation="relu", n_in=layer["n_in"])
        elif layer["kind"] == "subtract":
            hls.update(class_name="Merge", op="subtract")
        elif layer["kind"] == "dot1d":
            hls.update(class_name="Dot", op="dot1d", axes=1)
        else:
            raise ValueError(f"a layer of kind {layer['kind']}")
        layers.append(hls)
        types[layer["name"]] = {"Precision": precision}
    return layers, types


def project(network, folder, backend="Vivado", part="xcvu9p-flga2577-2-e"):
    """The graph of the project, written to a folder."""
    from hls4ml.model.graph import ModelGraph

    layers, types = hls_layers(network)
    model = {"Precision": "ap_fixed<32,16>", "ReuseFactor": 1, "Strategy": "Latency"}
    config = {"OutputDir": str(folder), "ProjectName": network["name"], "Backend": backend, "XilinxPart": part, "Part": part,
              "ClockPeriod": 5, "IOType": "io_parallel", "HLSConfig": {"Model": model, "LayerName": types}}
    graph = ModelGraph.from_layer_list(config, layers, inputs=[network["input"]["name"]], outputs=[layers[-1]["name"]])
    graph.write()
    return graph


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--score", nargs=2, metavar=("ROWS.npy", "OUT.npy"))
    options = parser.parse_args()
    network = json.loads((HERE / "network.json").read_text())
    graph = project(network, HERE / "project")
    if options.compile or options.score:
        graph.compile()
    if options.score:
        rows, out = options.score
        scores = graph.predict(np.ascontiguousarray(codes(network, np.load(rows)), dtype=np.float64))
        np.save(out, np.asarray(scores).reshape(-1).astype(np.int64))


if __name__ == "__main__":
    main()
