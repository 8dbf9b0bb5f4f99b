#!/usr/bin/env bash
# Starts a node on data of its own, measures it over REST, and takes the data away again.
# Options go to the client: bench/rest.sh --rounds 3
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/node.sh
start_node --listen-tls off --ftp off --ftps off --sftp off
target/release/filegrid-bench --target "${rest#http://}" --pid "$node" --token "$token" "${options[@]}"
