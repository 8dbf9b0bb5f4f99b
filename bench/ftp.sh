#!/usr/bin/env bash
# Measures a node over FTP, FTPS and HTTPS, and vsftpd, proftpd, pure-ftpd and nginx beside it where they are installed.
# Everything runs on data of its own, which is taken away again, and as root in a network of its own. Options go to the FTP client: bench/ftp.sh --rounds 3
# Other servers need root: they log in a system account that is made and removed here.
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
data=$(mktemp -d)
chmod 755 "$data"
started=()
stop() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    if id fgbench >/dev/null 2>&1; then userdel fgbench; fi
    rm -rf "$data"
}
trap stop EXIT

target/release/filegrid --data "$data/data" --listen 127.0.0.1:0 --listen-tls 127.0.0.1:0 --metrics off --ftp 127.0.0.1:0 \
    --ftps 127.0.0.1:0 --sftp off >"$data/keys" 2>"$data/log" &
pid=$!
started+=("$pid")
until [ -s "$data/data/ports.json" ] && [ "$(wc -l <"$data/keys")" -ge 3 ]; do sleep 0.1; done
port() { sed "s/.*\"$1\":\([0-9]*\).*/\1/" "$data/data/ports.json"; }
key() { sed -n "s/^$1: //p" "$data/keys"; }
login="{\"AssociationKey\":\"$(key AssociationKey)\",\"AccessKey\":\"$(key AccessKey)\",\"SecretKey\":\"$(key SecretKey)\"}"
rest="http://127.0.0.1:$(port http)"
token=$(curl -sSf "$rest/apiaccess/auth" --json "$login" | sed 's/.*"token":"\([^"]*\)".*/\1/')
curl -sSf "$rest/ftpaccounts/create" -H "Authorization: Bearer $token" -o /dev/null \
    --json '{"Username":"fgbench","AccessRights":"RW","Chroot":"/ftp","Password":"bench-4711"}'

echo "| server | row | sessions | figures |"
echo "|---|---|---|---|"
target/release/filegrid-bench-ftp --name filegrid --target "127.0.0.1:$(port ftp)" --pid "$pid" \
    --user fgbench --password bench-4711 "$@"

# Server CPU of one GiB by curl: name, row, pid, then curl's arguments.
used() { awk -v pid="$1" '{ sub(/.*\) /, ""); print ($12 + $13 + $14 + $15) / 100 }' "/proc/$1/stat"; }
once() {
    local name=$1 row=$2 server=$3
    shift 3
    for round in 1 2 3; do
        before=$(used "$server")
        start=$(date +%s.%N)
        curl -sSf -o /dev/null "$@"
        end=$(date +%s.%N)
        sleep 1
        echo "$(echo "$end - $start" | bc) $(echo "$(used "$server") - $before" | bc)"
    done | sort -n -k2 | sed -n 2p | while read -r seconds cpu; do
        echo "| $name | $row | 1 | $seconds s, $cpu s of CPU per GiB |"
    done
}
head -c 1073741824 /dev/urandom >"$data/gib"
pem="$data/data/tls/self-made.pem"
ftps="ftp://localhost:$(port ftp)/tls-gib"
https="https://localhost:$(port https)"
bearer="Authorization: Bearer $token"
once filegrid "FTPS STOR" "$pid" --ssl-reqd --cacert "$pem" -u fgbench:bench-4711 -T "$data/gib" "$ftps"
once filegrid "FTPS RETR" "$pid" --ssl-reqd --cacert "$pem" -u fgbench:bench-4711 "$ftps"
once filegrid "HTTPS upload" "$pid" --cacert "$pem" -H "$bearer" -F "f=@$data/gib" "$https/api/upload"
once filegrid "HTTPS download" "$pid" --cacert "$pem" -H "$bearer" "$https/api/download/single?path=/gib"

if command -v nginx >/dev/null; then
    mkdir -p "$data/nginx/files" && chmod -R 777 "$data/nginx"
    cat >"$data/nginx.conf" <<CONF
daemon off; master_process off; pid $data/nginx.pid; error_log $data/nginx.log;
events {}
http { access_log off; client_max_body_size 2g; client_body_temp_path $data/nginx/tmp; sendfile on;
  server { listen 127.0.0.1:18443 ssl; ssl_certificate $pem; ssl_certificate_key $data/data/tls/self-made.key;
    location / { root $data/nginx/files; dav_methods PUT; } } }
CONF
    nginx -c "$data/nginx.conf" &
    pid=$!
    started+=("$pid")
    sleep 1
    once nginx "HTTPS upload" "$pid" --cacert "$pem" -T "$data/gib" https://localhost:18443/gib
    once nginx "HTTPS download" "$pid" --cacert "$pem" https://localhost:18443/gib
fi

[ "$(id -u)" = 0 ] || exit 0
useradd -m -d "$data/home" -s /bin/bash fgbench
echo fgbench:bench-4711 | chpasswd
if command -v vsftpd >/dev/null; then
    cat >"$data/vsftpd.conf" <<CONF
listen=YES
listen_address=127.0.0.1
listen_port=12121
background=NO
anonymous_enable=NO
local_enable=YES
write_enable=YES
seccomp_sandbox=NO
CONF
    vsftpd "$data/vsftpd.conf" &
    pid=$!
    started+=("$pid")
    sleep 1
    target/release/filegrid-bench-ftp --name vsftpd --target 127.0.0.1:12121 --pid "$pid" \
        --user fgbench --password bench-4711 "$@"
fi
if command -v pure-ftpd >/dev/null; then
    pure-ftpd -S 127.0.0.1,12122 -c 100 -C 100 -A -E -H -l unix &
    pid=$!
    started+=("$pid")
    sleep 1
    target/release/filegrid-bench-ftp --name pure-ftpd --target 127.0.0.1:12122 --pid "$pid" \
        --user fgbench --password bench-4711 "$@"
fi
if command -v proftpd >/dev/null; then
    cat >"$data/proftpd.conf" <<CONF
ServerType standalone
DefaultAddress 127.0.0.1
Port 12123
UseIPv6 off
RequireValidShell off
AuthOrder mod_auth_unix.c
DelayEngine off
PidFile $data/proftpd.pid
ScoreboardFile $data/proftpd.score
AllowOverwrite on
CONF
    proftpd -n -c "$data/proftpd.conf" &
    pid=$!
    started+=("$pid")
    sleep 1
    target/release/filegrid-bench-ftp --name proftpd --target 127.0.0.1:12123 --pid "$pid" \
        --user fgbench --password bench-4711 "$@"
fi
