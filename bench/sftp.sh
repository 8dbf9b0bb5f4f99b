#!/usr/bin/env bash
# SFTP beside OpenSSH's own server, each driven by OpenSSH's sftp: medians with spread, CPU of the server alone. Prints a table.
# Ours is durable at each close, OpenSSH's is not.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/node.sh
start_node --listen-tls off --ftp off --ftps off --sftp 127.0.0.1:0
ssh-keygen -q -t ed25519 -N '' -f "$data/key"
add_account "{\"Username\":\"bench\",\"AccessRights\":\"RW\",\"Chroot\":\"/sftp\",\"RsaKey\":\"$(cut -d' ' -f1,2 "$data/key.pub")\"}"

theirs=
if [ -x /usr/sbin/sshd ]; then
    ssh-keygen -q -t ed25519 -N '' -f "$data/host"
    mkdir -p /run/sshd "$data/theirs"
    cat >"$data/sshd.conf" <<CONF
ListenAddress 127.0.0.1:12222
HostKey $data/host
AuthorizedKeysFile $data/key.pub
StrictModes no
PidFile none
UsePAM no
PermitRootLogin yes
Subsystem sftp internal-sftp
MaxStartups 200
CONF
    /usr/sbin/sshd -D -f "$data/sshd.conf" &
    theirs=$!
    started+=("$theirs")
fi

head -c 1073741824 /dev/urandom >"$data/gib"
head -c 16777216 "$data/gib" >"$data/part"
mkdir "$data/small"
for n in $(seq 1000); do head -c 4096 /dev/urandom >"$data/small/f$n"; done

# What the sftp client does with a batch: port, user, cipher.
batch() {
    (cd "$data" && sftp -q -i key -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o "Ciphers=$3" \
        -P "$1" -b "${4:-batch}" "$2@127.0.0.1")
}
# 64 clients at a time, each of which puts a file of its own: port, user, cipher, directory there.
crowd() {
    local clients=()
    for n in $(seq 64); do
        printf 'cd %s\nput part part%s\n' "$4" "$n" >"$data/batch$n"
        batch "$1" "$2" "$3" "batch$n" &
        clients+=($!)
    done
    wait "${clients[@]}"
}
# Name, server, port, user, directory there, row, cipher, and the commands of a batch.
row() {
    local name=$1 server=$2 port=$3 user=$4 there=$5 row=$6 cipher=$7
    printf 'cd %s\n%s\n' "$there" "$8" >"$data/batch"
    echo "| $name | $row, ${cipher%@*} |$(measure "$server" batch "$port" "$user" "$cipher")"
}
rows() {
    mkdir -p "$data/back"
    for cipher in aes128-gcm@openssh.com chacha20-poly1305@openssh.com; do
        row "$@" "put 1 GiB" "$cipher" "put gib"
        row "$@" "get 1 GiB" "$cipher" "get gib /dev/null"
    done
    row "$@" "log in" aes128-gcm@openssh.com ""
    echo "| $1 | 64 clients put 16 MiB each, aes128-gcm |$(measure "$2" crowd "$3" "$4" aes128-gcm@openssh.com "$5")"
    row "$@" "put 1,000 of 4 KiB" aes128-gcm@openssh.com "$(printf -- '-mkdir small\nput small/* small/')"
    row "$@" "get 1,000 of 4 KiB" aes128-gcm@openssh.com "get small/* back/"
}
echo "| server | row | s | s of CPU | s of CPU afterwards |"
echo "|---|---|---|---|---|"
rows filegrid "$node" "$(port sftp)" bench /
[ -z "$theirs" ] || rows OpenSSH "$theirs" 12222 "$(id -un)" "$data/theirs"

# Sessions that do nothing.
if python3 -c 'import asyncssh' 2>/dev/null; then
    rss() { awk '/^VmRSS/ { print $2 }' "/proc/$node/status"; }
    before=$(rss)
    python3 - "$(port sftp)" "$data/key" <<'PYTHON' &
import asyncio, sys, asyncssh

async def main():
    options = dict(username="bench", client_keys=[sys.argv[2]], known_hosts=None)
    kept = []
    for _ in range(50):
        batch = await asyncio.gather(*(asyncssh.connect("127.0.0.1", int(sys.argv[1]), **options) for _ in range(20)))
        kept.append([batch, [await one.start_sftp_client() for one in batch]])
    print("ready", flush=True)
    await asyncio.sleep(8)

asyncio.run(main())
PYTHON
    client=$!
    sleep 1
    until [ "$(ss -Htn state established "( sport = :$(port sftp) )" | wc -l)" -ge 1000 ]; do sleep 0.5; done
    sleep 3
    echo "| filegrid | an idle session of 1,000 | $(( ($(rss) - before) / 1000 )) KiB | | |"
    kill "$client" 2>/dev/null || true
fi
