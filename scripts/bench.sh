#!/usr/bin/env bash
# Measures a release build, and says on what machine. usage: [WEIR_FLIGHTS=path/to/flights.jsonl.gz] scripts/bench.sh [rounds]
#
# 1. Queries over bids of the Nexmark generator, inside the process (docs/benchmarks.md), each with bids made on the way and
#    with bids that were there before, on 1 and 2 workers; then bids in files.
# 2. CPU for a row from the JSON file to the view by_hour, on one worker: once over the gzip file, and once over the same
#    file unpacked, which is the figure "besides the gzip". Needs the file of flights.
# 3. What checkpoints cost; a restart with 10 million keys in a view; single-row INSERTs of 16 connections (by pgbench).
# 4. From sending an INSERT to having read a view on a view in another session; idle views.
#
# WEIR_BENCH_EVENTS: bids (20,000,000, which take 7 GB of memory where they are made before). WEIR_BENCH_KEY_EVENTS: bids for
# the memory of a key (152,000,000). WEIR_BENCH_FILE_EVENTS: bids in files (1,000,000; 500 MB of temporary files).
# WEIR_BENCH_KEYS: keys for the restart (10,000,000; 3 GB of memory).
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
flights=${WEIR_FLIGHTS:-}
events=${WEIR_BENCH_EVENTS:-20000000}
file_events=${WEIR_BENCH_FILE_EVENTS:-1000000}

cargo build --quiet --release --bin weir
weir=${CARGO_TARGET_DIR:-target}/release/weir
scratch=$(mktemp -d)
pid=""
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$scratch"' EXIT

echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores," \
  "$(awk '/^MemTotal:/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), $(uname -sr)"
echo "weir:    $("$weir" --version), $(git rev-parse --short HEAD 2>/dev/null || echo 'no commit'), $(rustc --version)"

ticks=$(getconf CLK_TCK)
# User and system time of a process, in clock ticks: fields 14 and 15, counted behind the name in parentheses.
cpu_ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; }

# Starts an empty server with one worker: its number in $pid, its address in $url.
serve() {
  rm -rf "$scratch/data"
  : > "$scratch/out" # what the last one said
  "$weir" serve --pg 127.0.0.1:0 --http 127.0.0.1:0 --data "$scratch/data" --workers 1 > "$scratch/out" 2> "$scratch/log" &
  pid=$!
  until grep -q '^ready: ' "$scratch/out"; do kill -0 "$pid" 2>/dev/null || { cat "$scratch/log" >&2; exit 1; }; sleep 0.02; done
  url=$(sed -n 's/^ready: //p' "$scratch/out")
}
stop() {
  kill "$pid" && wait "$pid" || true
  pid=""
}
ask() { psql -X -q -At -v ON_ERROR_STOP=1 "$url" -c "$1"; }

# Runs `weir bench`; the heading once, and a line where a query cannot be measured.
heading=1
measure() {
  if "$weir" bench "$@" > "$scratch/measured" 2> "$scratch/log"; then
    tail -n +$((2 - heading)) "$scratch/measured"
    heading=0
  else
    echo "not measured: $* ($(tail -n 1 "$scratch/log"))"
  fi
}

echo
for query in q0 q1 q2 tumble q5_count q7_max; do
  for workers in 1 2; do
    measure nexmark --query "$query" --events "$events" --workers "$workers"
    measure nexmark --query "$query" --events "$events" --workers "$workers" --pregenerate
  done
done
# What a second worker brings: the best of the rounds for each, because other work on the machine only ever takes away.
best() {
  for _ in $(seq "$rounds"); do
    "$weir" bench nexmark --query "$1" --events "$events" --workers "$2" --pregenerate | tail -n 1 | awk '{ print $9 }'
  done | sort -g | tail -n 1
}
for query in tumble q5_count; do
  echo "$query from memory, M events a second: $(best "$query" 1) $(best "$query" 2)" |
    awk -v k="$rounds" '{ printf "%s: %s with one worker, %s with two, %.2f times as many (best of %d each)\n", $0, $(NF - 1), $NF, $NF / $(NF - 1), k }' |
    sed -E 's/: [0-9.]+ [0-9.]+:/:/'
done

# Each auction is in a window or two: 152 million bids have 10 million keys. Resident memory, all else included, by rows out.
measure nexmark --query tumble --events "${WEIR_BENCH_KEY_EVENTS:-152000000}" --workers 1
checked=0
for query in q0 q1 q2 tumble q5_count q7_max; do
  for workers in 1 2 4; do
    "$weir" bench nexmark --query "$query" --events 1000000 --workers "$workers" --check > "$scratch/measured"
    checked=$((checked + 1))
  done
done
echo "results equal the query as a batch: $checked of $checked runs (6 queries on 1, 2 and 4 workers, 1,000,000 bids)"

serve
ask "CREATE SOURCE bids WITH (connector = 'nexmark', table = 'bid', events = '$((file_events * 50 / 46))')"
ask "COPY (SELECT * FROM bids) TO STDOUT WITH (FORMAT csv)" > "$scratch/bids.csv"
ask "COPY (SELECT '{\"auction\":' || auction || ',\"bidder\":' || bidder || ',\"price\":' || price || ',\"channel\":\"' || channel || '\",\"url\":\"' || url
       || '\",\"date_time\":\"' || date_time || '\",\"extra\":\"' || extra || '\"}' FROM bids) TO STDOUT" > "$scratch/bids.jsonl"
stop
for file in bids.csv bids.jsonl; do
  for query in q0 tumble; do measure file --path "$scratch/$file" --query "$query" --workers 1; done
done
rm -f "$scratch"/bids.*

# Prints "CPU-seconds wall-seconds rows windows" for loading one file on a fresh server.
load() {
  local before after start end rows windows
  serve
  ask "CREATE SOURCE flights (sched_dep TIMESTAMP, dep TIMESTAMP, carrier TEXT, flight INT, tailnum TEXT, origin TEXT, dest TEXT,
         dep_delay DOUBLE PRECISION, arr_delay DOUBLE PRECISION, air_time DOUBLE PRECISION, distance INT,
         WATERMARK FOR sched_dep AS sched_dep - INTERVAL '1 day')
       WITH (connector = 'file', path = '$1') FORMAT PLAIN ENCODE JSON"
  before=$(cpu_ticks "$pid")
  start=$(date +%s.%N)
  ask "CREATE MATERIALIZED VIEW by_hour AS
       SELECT window_start, origin, count(*) AS flights, avg(dep_delay) AS mean_delay, max(dep_delay) AS worst
       FROM TUMBLE(flights, sched_dep, INTERVAL '1 hour') GROUP BY window_start, origin"
  until [ "$(ask "SELECT count(*) FROM weir.views WHERE filling")" = 0 ]; do sleep 0.02; done
  end=$(date +%s.%N)
  after=$(cpu_ticks "$pid")
  rows=$(ask "SELECT rows FROM weir.sources")
  windows=$(ask "SELECT count(*) FROM by_hour")
  stop
  awk -v t="$((after - before))" -v hz="$ticks" -v s="$start" -v e="$end" -v r="$rows" -v w="$windows" \
    'BEGIN { printf "%.3f %.3f %d %d\n", t / hz, e - s, r, w }'
}

echo
files=()
if [ -n "$flights" ]; then
  gzip -dc "$flights" > "$scratch/flights.jsonl"
  files=("$(realpath "$flights")" "$scratch/flights.jsonl")
else
  echo "flights: not measured, WEIR_FLIGHTS does not name the file"
fi
for file in "${files[@]}"; do
  # Best of the rounds: other work on the machine only ever adds.
  for _ in $(seq "$rounds"); do load "$file"; done | sort -n | head -n 1 | while read -r cpu wall rows windows; do
    awk -v c="$cpu" -v w="$wall" -v r="$rows" -v n="$windows" -v f="$(basename "$file")" -v k="$rounds" \
      'BEGIN { printf "%-20s %d rows into %d windows: %.2f CPU s, %.2f s, %.2f us of CPU a row (best of %d)\n", f, r, n, c, w, c * 1e6 / r, k }'
  done
done

echo
"$weir" bench checkpoint
echo
"$weir" bench restart --keys "${WEIR_BENCH_KEYS:-10000000}"
echo
for mode in simple prepared; do scripts/bench-inserts.sh "$weir" 20 "$mode"; done

# The tests print what they measure of the optimized server.
WEIR_BINARY=$(realpath "$weir") cargo test --quiet --test it -- --nocapture --test-threads 1 \
  a_write_is_seen_by_the_next_read_of_anyone idle_views_cost_next_to_nothing 2>&1 | grep -E 'p50|idle views'
