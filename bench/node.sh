# What the scripts beside this one share; they source it from the root of the repository, with their options.
#
# As root everything runs in a network of its own with plain settings: a congestion control that paces (bbr) costs more on a
# loopback interface than all of the rest. What is left of the options stands in `options`.
if [ "${1:-}" = --inside ]; then
    shift
    ip link set lo up
    sysctl -qw net.ipv4.tcp_congestion_control=cubic
else
    cargo build --release -p filegrid -p filegrid-bench
    if [ "$(id -u)" = 0 ]; then exec unshare --net "bench/${0##*/}" --inside "$@"; fi
fi
options=("$@")
data=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/filegrid.XXXXXX")
started=()
stop() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$data"
}
trap stop EXIT

port() { sed "s/.*\"$1\":\([0-9]*\).*/\1/" "$data/data/ports.json"; }
key() { sed -n "s/^$1: //p" "$data/keys"; }

# Starts a node with REST and what the arguments open, on data of its own: its process is `node`, its address `rest`, and
# `token` opens it.
start_node() {
    target/release/filegrid --data "$data/data" --listen 127.0.0.1:0 --admin off --metrics off "$@" \
        >"$data/keys" 2>"$data/log" &
    node=$!
    started+=("$node")
    until [ -s "$data/data/ports.json" ] && [ "$(wc -l <"$data/keys")" -ge 3 ]; do sleep 0.1; done
    local login="{\"AssociationKey\":\"$(key AssociationKey)\",\"AccessKey\":\"$(key AccessKey)\",\"SecretKey\":\"$(key SecretKey)\"}"
    rest="http://127.0.0.1:$(port http)"
    token=$(curl -sSf "$rest/apiaccess/auth" --json "$login" | sed 's/.*"token":"\([^"]*\)".*/\1/')
}

# Adds an account: the JSON of a request.
add_account() {
    curl -sSf "$rest/ftpaccounts/create" -H "Authorization: Bearer $token" -o /dev/null --json "$1"
}

# CPU seconds of a process, with those of children that have ended.
used() { awk '{ sub(/.*\) /, ""); print ($12 + $13 + $14 + $15) / 100 }' "/proc/$1/stat"; }

# Runs a command three times: seconds and CPU seconds of the process, of the run with the median CPU.
median() {
    local server=$1
    shift
    for _ in 1 2 3; do
        local before start end
        before=$(used "$server")
        start=$(date +%s.%N)
        "$@" >/dev/null
        end=$(date +%s.%N)
        sleep 1
        echo "$(echo "$end - $start" | bc) $(echo "$(used "$server") - $before" | bc)"
    done | sort -n -k2 | sed -n 2p
}
