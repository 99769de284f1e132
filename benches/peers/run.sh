#!/bin/sh
# Speed of our scorer beside those of isotree, coniferest, scikit-learn and onnxruntime: same rows,
# one core.
#
# usage: benches/peers/run.sh [--core N] [--rounds N] [--quick] [--only forests|networks]
#                             [--record FILE]
#
# Makes a Python environment in target/peers (PEERS_VENV=DIR takes another one, as it is); builds
# the binaries (CARGO_BUILD_PROFILE=dist for another profile). README.md says what is measured.
# Run it on an idle machine, at a commit.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
core=1
for word in "$@"; do
    [ "${before:-}" = --core ] && core=$word
    before=$word
done
target=${CARGO_TARGET_DIR:-target}
work=$target/peers
mkdir -p "$work"

python=${PEERS_VENV:-$work/venv}/bin/python
if [ ! -x "$python" ]; then
    python3 -m venv "$work/venv"
    # isotree is compiled for this machine's instruction set: some minutes.
    "$python" -m pip install --quiet --requirement "$here/requirements.txt"
fi

profile=${CARGO_BUILD_PROFILE:-release}
cargo build --quiet --profile "$profile" --package scout40 --bin scout40
cargo build --quiet --profile "$profile" --package scout40-benches --bin score_rows --bin machine

# One thread everywhere, on one core: libraries that start more would only disturb themselves.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 RAYON_NUM_THREADS=1
exec taskset --cpu-list "$core" "$python" "$here/peers.py" \
    --binaries "$target/$profile" --work "$work" "$@"
