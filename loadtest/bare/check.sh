#!/usr/bin/env bash
# Is the bare loop of loadtest as cheap as a C epoll loop?
#
# Compiles epoll_echo.c, runs both servers in turn on the first allowed CPU with the client on the
# last one, and compares the server's CPU time per request. Prints every pair, the median ratio and
# its range, and fails if the median ratio is above 1.05.
#
# usage: loadtest/bare/check.sh [PAIRS [CONNECTIONS [SIZE [SECONDS]]]]
set -euo pipefail

pairs=${1:-5} connections=${2:-64} size=${3:-64} seconds=${4:-3}
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
server_pid=
trap '[ -n "$server_pid" ] && kill "$server_pid" 2>/dev/null; rm -rf "$scratch"' EXIT

target=${CARGO_TARGET_DIR:-$here/../../target}
(cd "$here" && cargo build --quiet --release --bin loadtest)
loadtest=$target/release/loadtest
cc -O2 -Wall -Wextra -o "$scratch/epoll_echo" "$here/epoll_echo.c"

cpus=$(taskset -cp $$ | sed 's/.*: //')
first=${cpus%%[,-]*} last=${cpus##*[,-]}
load=(run echo -c "$connections" -s "$size" -d "${seconds}s" -w 500ms --client-cpus "$last")

cost() { # the server's CPU microseconds per request in a result file
    sed -n 's/.*"cpu_us_per_op": \([0-9.]*\).*/\1/p' "$1"
}

measure_c() {
    taskset -c "$first" "$scratch/epoll_echo" 0 >"$scratch/ready" &
    server_pid=$!
    for _ in $(seq 100); do
        [ -s "$scratch/ready" ] && break
        sleep 0.05
    done
    "$loadtest" "${load[@]}" "$(sed 's/READY //' "$scratch/ready")" --server-pid "$server_pid" \
        --json "$scratch/c.json" >/dev/null
    kill "$server_pid"
    wait "$server_pid" 2>/dev/null || true
    server_pid=
    : >"$scratch/ready"
}

measure_bare() {
    "$loadtest" "${load[@]}" --server bare --server-cpus "$first" \
        --json "$scratch/bare.json" >/dev/null
}

echo "server CPU us per request, $connections connections, $size bytes, $seconds s"
for pair in $(seq "$pairs"); do
    if ((pair % 2)); then
        measure_c
        measure_bare
    else
        measure_bare
        measure_c
    fi
    c=$(cost "$scratch/c.json") bare=$(cost "$scratch/bare.json")
    ratio=$(awk "BEGIN { printf \"%.4f\", $bare / $c }")
    echo "$ratio" >>"$scratch/ratios"
    printf 'pair %2d   C %.3f   bare %.3f   ratio %s\n' "$pair" "$c" "$bare" "$ratio"
done

sort -n "$scratch/ratios" | awk '
    { ratio[NR] = $1 }
    END {
        median = NR % 2 ? ratio[(NR + 1) / 2] : (ratio[NR / 2] + ratio[NR / 2 + 1]) / 2
        printf "median ratio %.4f, range %.4f to %.4f, bar 1.05\n", median, ratio[1], ratio[NR]
        exit median > 1.05
    }'
