#!/usr/bin/env bash
# Cuts the repository's small extract out of the whole nycflights13 file: the first three days, in the order of departure.
# usage: scripts/cut-flights.sh PATH/TO/flights.jsonl.gz PATH/TO/airlines.csv
set -euo pipefail
flights=${1:?"usage: $0 flights.jsonl.gz airlines.csv"}
airlines=${2:?"usage: $0 flights.jsonl.gz airlines.csv"}
out=$(cd "$(dirname "$0")/.." && pwd)/sql/data

# The first field of every line is the scheduled departure, so a comparison of text is one of times.
days() { gzip -dc "$flights" | awk -F'"' '$4 < "2013-01-04"'; }

days | gzip -9n > "$out/flights.jsonl.gz"
days | awk 'NR <= 100' > "$out/flights-100.jsonl"
cp "$airlines" "$out/airlines.csv"
chmod 644 "$out"/*
wc -c "$out"/*.jsonl* "$out"/*.csv
