#!/usr/bin/env bash
# Starts a node on data of its own, measures it over REST, and takes the data away again.
# Options go to the client: bench/rest.sh --rounds 3
#
# As root it runs in a network of its own with plain settings: a congestion control that paces (bbr) costs more on a
# loopback interface than all of the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release -p filegrid -p filegrid-bench
if [ "$(id -u)" = 0 ] && [ "${1:-}" != --inside ]; then
    exec unshare --net "$0" --inside "$@"
fi
if [ "${1:-}" = --inside ]; then
    shift
    ip link set lo up
    sysctl -qw net.ipv4.tcp_congestion_control=cubic
fi
data=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/filegrid.XXXXXX")
target/release/filegrid --data "$data/data" --listen 127.0.0.1:0 --listen-tls off --ftp off --ftps off --sftp off --admin off --metrics off >"$data/keys" 2>"$data/log" &
pid=$!
trap 'kill "$pid"; wait "$pid" || true; rm -rf "$data"' EXIT
until [ -s "$data/data/ports.json" ] && [ "$(wc -l <"$data/keys")" -ge 3 ]; do sleep 0.1; done
port=$(sed 's/.*"http":\([0-9]*\).*/\1/' "$data/data/ports.json")
key() { sed -n "s/^$1: //p" "$data/keys"; }
login="{\"AssociationKey\":\"$(key AssociationKey)\",\"AccessKey\":\"$(key AccessKey)\",\"SecretKey\":\"$(key SecretKey)\"}"
token=$(curl -sSf "http://127.0.0.1:$port/apiaccess/auth" --json "$login" | sed 's/.*"token":"\([^"]*\)".*/\1/')
target/release/filegrid-bench --target "127.0.0.1:$port" --pid "$pid" --token "$token" "$@"
