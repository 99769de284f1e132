#!/bin/sh
# Runs every bench and records what it prints, under a description of the machine.
#
# usage: benches/record.sh [CRITERION OPTION...]     such as --measurement-time 2
#
# Writes benches/record/<cpu>/<date>/<bench>.txt. Run it on an idle machine, at a commit.
set -eu
cd "$(dirname "$0")"
cpu=$(lscpu | sed -n 's/^Model name: *//p' | head -n 1 | tr '[:upper:]' '[:lower:]' |
    sed 's/([a-z]*)//g; s/[^a-z0-9.]\{1,\}/-/g; s/^-//; s/-$//')
folder=$PWD/record/$cpu/$(date -u +%F)
mkdir -p "$folder"
for bench in decode decode_formats fill forest; do
    {
        cargo run -q --release -p scout40-benches --bin machine
        cargo bench -q -p scout40-benches --bench $bench -- --noplot "$@" 2>/dev/null
    } | tee "$folder/$bench.txt"
done
for bench in ring whole_run; do
    cargo bench -q -p scout40-benches --bench $bench -- --record "$folder"
done
