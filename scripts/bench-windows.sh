#!/usr/bin/env bash
# What windows cost that close: whether state and memory stay flat over many events, and what overlapping windows cost.
# usage: scripts/bench-windows.sh path/to/weir [millions of bids]
#
# One worker. Bids of the Nexmark generator, 100,000 events of event time a second; see docs/nexmark.md.
set -euo pipefail
weir=$1
millions=${2:-50}

scratch=$(mktemp -d)
pid=""
stop() { [ -z "$pid" ] || kill "$pid" 2>/dev/null || true; [ -z "$pid" ] || wait "$pid" 2>/dev/null || true; pid=""; }
trap 'stop; rm -rf "$scratch"' EXIT

start() {
  stop
  rm -rf "$scratch/data"
  "$weir" serve --workers 1 --pg 127.0.0.1:0 --http 127.0.0.1:0 --data "$scratch/data" > "$scratch/out" 2> "$scratch/log" &
  pid=$!
  until grep -q '^ready: ' "$scratch/out"; do kill -0 "$pid" 2>/dev/null || { cat "$scratch/log" >&2; exit 1; }; sleep 0.02; done
  url=$(sed -n 's/^ready: //p' "$scratch/out")
}
ask() { psql -X -q -At -v ON_ERROR_STOP=1 "$url" -c "$1"; }
bids() {
  ask "CREATE SOURCE bids (WATERMARK FOR date_time AS date_time - INTERVAL '1 second')
       WITH (connector = 'nexmark', table = 'bid', first_event_rate = '100000', events = '$(($1 * 50000000 / 46))')"
}
# Seconds of CPU time of the server, user and system.
cpu() { awk -v hz="$(getconf CLK_TCK)" '{ printf "%.2f\n", ($14 + $15) / hz }' "/proc/$pid/stat"; }
at_end() { [ "$(ask "SELECT bool_and(at_end) FROM weir.sources")" = t ]; }

# What a view holds while all bids come and its windows are closed and freed: $1 says what it is of, $2 is its query.
freed() {
  local next=0 done rows shown groups state
  echo "closed windows are freed: $millions M bids, $1, EMIT FINAL, retention of 60 s"
  start
  bids "$millions"
  ask "CREATE MATERIALIZED VIEW final AS $2 EMIT FINAL WITH (retention = '60 seconds')"
  echo "  M bids    rows shown    groups open    state MB    RSS MB"
  while :; do
    done=$(at_end && echo yes || echo no)
    rows=$(ask "SELECT rows FROM weir.sources")
    if [ "$done" = yes ] || [ "$rows" -ge "$next" ]; then
      IFS='|' read -r shown groups state <<< "$(ask "SELECT (SELECT rows FROM weir.views), sum(groups), round(sum(bytes) / 1e6, 1) FROM weir.operators WHERE operator <> 'served rows'")"
      printf '  %6.1f    %10s    %11s    %8s    %6s\n' "$(awk -v r="$rows" 'BEGIN { print r / 1e6 }')" "$shown" "$groups" "$state" "$(awk '/VmRSS/ { printf "%.0f", $2 / 1024 }' "/proc/$pid/status")"
      next=$((rows + millions * 100000))
    fi
    [ "$done" = no ] || break
    sleep 0.2
  done
}
freed "TUMBLE of 1 s by auction" "SELECT window_start, auction, count(*) AS n, max(price) AS top
  FROM TUMBLE(bids, date_time, INTERVAL '1 second') GROUP BY window_start, auction"
freed "SESSION with a gap of 1 s by bidder" "SELECT window_start, window_end, bidder, count(*) AS n, max(price) AS top
  FROM SESSION(bids PARTITION BY bidder, date_time, INTERVAL '1 second') GROUP BY window_start, window_end, bidder"

# CPU seconds for one view over 10 M bids, and the rows that it gives out: the least of three runs.
cost() {
  local best="" rows=""
  for _ in 1 2 3; do
    start
    bids 10
    local before after
    before=$(cpu)
    ask "CREATE MATERIALIZED VIEW v AS SELECT window_start, k, count(*) AS n FROM $1 GROUP BY window_start, k EMIT ON WINDOW CLOSE"
    until at_end; do sleep 0.1; done
    rows=$(ask "SELECT rows FROM weir.views")
    after=$(cpu)
    best=$(awk -v a="$before" -v b="$after" -v best="$best" 'BEGIN { c = b - a; printf "%.2f", (best == "" || c < best) ? c : best }')
  done
  stop
  echo "$best $rows"
}
# What HOP costs beside TUMBLE, over bids by the key $2.
overlap() {
  local input="(SELECT date_time, $2 AS k FROM bids), date_time"
  read -r tumble tumble_rows <<< "$(cost "TUMBLE($input, INTERVAL '60 seconds')")"
  read -r hop hop_rows <<< "$(cost "HOP($input, INTERVAL '1 second', INTERVAL '60 seconds')")"
  awk -v what="$1" -v t="$tumble" -v tr="$tumble_rows" -v h="$hop" -v hr="$hop_rows" 'BEGIN {
    printf "  %-12s TUMBLE of 60 s: %6.2f s, %9d rows out; HOP of 60 s every second: %6.2f s, %9d rows out; ratio %.2f (aim: 2.5)\n", what, t, tr, h, hr, h / t
  }'
}
echo "overlapping windows, 10 M bids in, EMIT ON WINDOW CLOSE: seconds of CPU time"
overlap "1,000 keys" "bidder % 1000"
overlap "by auction" "auction"
