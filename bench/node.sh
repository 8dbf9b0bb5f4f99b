# What the scripts beside this one share; they source it from the root of the repository, with their options.
#
# As root everything runs in a network of its own with plain settings: a congestion control that paces (bbr) costs more on a
# loopback interface than all of the rest. What is left of the options stands in `options`.
if [ "${1:-}" = --inside ]; then
    shift
    ip link set lo up
    # Ports that a client has used are not free for a minute, and it has two for each file that goes over FTP.
    sysctl -qw net.ipv4.ip_local_port_range="20000 65000"
    # The one or the other is there, and not all are allowed here; neither paces.
    sysctl -qw net.ipv4.tcp_congestion_control=cubic 2>/dev/null || sysctl -qw net.ipv4.tcp_congestion_control=reno
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

# Waits until a process has nothing left to do, as far as can be seen.
settle() {
    local before now
    now=$(used "$1")
    while before=$now; sleep 0.6; now=$(used "$1"); [ "$(echo "$now - $before > 0.02" | bc)" = 1 ]; do :; done
}

# Runs a command once more than `rounds`, 3 by default, and waits in between until the process is done with it. Of all runs but
# the first: seconds, CPU seconds of the process until the command ended, and those afterwards, each as a column: median (least to
# most). A process other than the node counts all its seconds as the first: its children count when they have ended.
measure() {
    local server=$1 before start end spent last
    shift
    for round in $(seq 0 "${rounds:-3}"); do
        before=$(used "$server")
        start=$(date +%s.%N)
        "$@" >/dev/null
        end=$(date +%s.%N)
        spent=$(used "$server")
        settle "$server"
        last=$(used "$server")
        [ "$server" = "$node" ] || spent=$last
        [ "$round" = 0 ] || echo "$(echo "$end - $start; $spent - $before; $last - $spent" | bc | tr '\n' ' ')"
    done >"$data/rounds"
    for column in 1 2 3; do
        cut -d' ' -f"$column" "$data/rounds" | sort -n |
            awk '{ v[NR] = $1 } END { printf " %.2f (%.2f to %.2f) |", v[int((NR + 1) / 2)], v[1], v[NR] }'
    done
}
