#!/usr/bin/env bash
# Single-row INSERTs from 16 connections, by pgbench: how many a second, how many share a sync, and whose CPU time they take.
# usage: scripts/bench-inserts.sh path/to/weir [seconds] [simple|prepared]
#
# Each INSERT is a transaction of its own into a table with a primary key, answered when it is on disk. WEIR_BENCH_CLIENTS: connections (16).
set -euo pipefail
weir=$1
seconds=${2:-20}
mode=${3:-simple}
clients=${WEIR_BENCH_CLIENTS:-16}

# Debian's `pgbench` is there without the program that it starts.
if ! pgbench --version >/dev/null 2>&1; then
  as_root=""
  [ "$(id -u)" -eq 0 ] || as_root="sudo"
  # Debian's package starts a Postgres of its own, which is not wanted here.
  echo "bench: installing pgbench (postgresql-contrib)" >&2
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql-contrib >/dev/null
fi

scratch=$(mktemp -d)
pid=""
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; [ -z "$pid" ] || wait "$pid" 2>/dev/null || true; rm -rf "$scratch"' EXIT

: > "$scratch/out"
WEIR_LOG=info "$weir" serve --pg 127.0.0.1:0 --http 127.0.0.1:0 --data "$scratch/data" > "$scratch/out" 2> "$scratch/log" &
pid=$!
until grep -q '^ready: ' "$scratch/out"; do kill -0 "$pid" 2>/dev/null || { cat "$scratch/log" >&2; exit 1; }; sleep 0.02; done
url=$(sed -n 's/^ready: //p' "$scratch/out")
http=$(sed -n 's/.*http=\([0-9.:]*\).*/\1/p' "$scratch/log" | head -n 1)
ask() { psql -X -q -At -v ON_ERROR_STOP=1 "$url" -c "$1"; }

ask "CREATE TABLE inserted (id BIGINT PRIMARY KEY, client INT NOT NULL, name TEXT, amount DOUBLE PRECISION)"
# A key that no other client takes, and none twice: variables stay from one transaction to the next.
cat > "$scratch/insert.sql" <<'SQL'
\set number :number + 1
\set id :client_id * 1000000000 + :number
INSERT INTO inserted (id, client, name, amount) VALUES (:id, :client_id, 'somebody', 12.5);
SQL

# One word of each metric, from a time when nothing is under way.
metric() { curl -fsS "http://$http/metrics" | awk -v name="$1" '$1 == name { print $2 }'; }
figures() { echo "$(metric weir_log_syncs_total) $(metric weir_log_sync_seconds_total) $(metric weir_epochs_total)"; }
# CPU seconds of the server's threads, by their names without numbers: user and system time, fields 14 and 15 of stat.
ticks=$(getconf CLK_TCK)
threads() {
  cat "/proc/$pid"/task/*/stat | sed -E 's/^[0-9]+ \((.*)\) /\1|/' |
    awk -F '|' -v hz="$ticks" '{ sub(/[-:]?[0-9]+$/, "", $1); split($2, f, " "); t[$1] += (f[12] + f[13]) / hz } END { for (n in t) printf "%s|%.2f\n", n, t[n] }'
}

before=$(figures)
threads > "$scratch/before"
pgbench -n -M "$mode" -c "$clients" -j 2 -T "$seconds" -D number=0 -f "$scratch/insert.sql" "$url" > "$scratch/pgbench" 2>&1 ||
  { cat "$scratch/pgbench" "$scratch/log" >&2; exit 1; }
threads > "$scratch/after"
after=$(figures)
rows=$(ask "SELECT count(*) FROM inserted")
transactions=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$scratch/pgbench")
failed=$(sed -n 's/^number of failed transactions: \([0-9]*\).*/\1/p' "$scratch/pgbench")
[ "$rows" = "$transactions" ] && [ "${failed:-0}" = 0 ] || { echo "bench: $transactions transactions, $rows rows, ${failed:-0} failed" >&2; exit 1; }

echo "single-row INSERTs, $clients connections, $mode protocol, $seconds s:"
echo "$before $after $rows $(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$scratch/pgbench") $(sed -n 's/^latency average = \([0-9.]*\).*/\1/p' "$scratch/pgbench")" |
  awk -v s="$seconds" '{ n = $4 - $1; printf "  %.0f inserts/s, %.0f syncs/s, %.1f rows a sync, %.3f ms a sync, %.0f epochs/s, %s ms an insert (mean)\n", $8, n / s, $7 / n, ($5 - $2) * 1e3 / n, ($6 - $3) / s, $9 }'
echo "  CPU of the server in us an insert, by thread:" "$(
  awk -F '|' -v rows="$rows" 'NR == FNR { b[$1] = $2; next } { d = $2 - b[$1]; all += d; if (d * 1e6 / rows >= 0.5) printf "%s %.1f, ", $1, d * 1e6 / rows }
    END { printf "all %.1f", all * 1e6 / rows }' "$scratch/before" "$scratch/after"
)"
