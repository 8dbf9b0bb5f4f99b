#!/usr/bin/env bash
# Measures a node over FTP, FTPS and HTTPS, and vsftpd, proftpd, pure-ftpd and nginx beside it where they are installed.
# Everything runs on data of its own, which is taken away again, and as root in a network of its own. Options go to the FTP client: bench/ftp.sh --rounds 3
# Other servers need root: they log in a system account that is made and removed here.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/node.sh
chmod 755 "$data"
stop_all() {
    stop
    if id fgbench >/dev/null 2>&1; then userdel fgbench; fi
}
trap stop_all EXIT
start_node --listen-tls 127.0.0.1:0 --ftp 127.0.0.1:0 --ftps 127.0.0.1:0 --sftp off
add_account '{"Username":"fgbench","AccessRights":"RW","Chroot":"/ftp","Password":"bench-4711"}'

echo "| server | row | pace or seconds | CPU | CPU afterwards |"
echo "|---|---|---|---|---|"
# What the FTP client of ours measures: name, port, process, more options.
ftp() {
    local name=$1 port=$2 server=$3
    shift 3
    target/release/filegrid-bench-ftp --name "$name" --target "127.0.0.1:$port" --pid "$server" \
        --user fgbench --password bench-4711 "$@" "${options[@]}"
}
ftp filegrid "$(port ftp)" "$node"

# Seconds of one GiB by curl: name, row, process, then curl's arguments.
once() {
    local name=$1 row=$2 server=$3
    shift 3
    echo "| $name | $row |$(measure "$server" curl -sSf -o /dev/null "$@")"
}
head -c 1073741824 /dev/urandom >"$data/gib"
pem="$data/data/tls/self-made.pem"
ftps="ftp://localhost:$(port ftp)/tls-gib"
https="https://localhost:$(port https)"
bearer="Authorization: Bearer $token"
once filegrid "FTPS STOR" "$node" --ssl-reqd --cacert "$pem" -u fgbench:bench-4711 -T "$data/gib" "$ftps"
once filegrid "FTPS RETR" "$node" --ssl-reqd --cacert "$pem" -u fgbench:bench-4711 "$ftps"
once filegrid "HTTPS upload" "$node" --cacert "$pem" -H "$bearer" -F "f=@$data/gib" "$https/api/upload"
once filegrid "HTTPS download" "$node" --cacert "$pem" -H "$bearer" "$https/api/download/single?path=/gib"

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
    ftp vsftpd 12121 "$pid" --forks
fi
if command -v pure-ftpd >/dev/null; then
    cat "$data/data/tls/self-made.key" "$pem" >"$data/pure.pem"
    pure-ftpd -S 127.0.0.1,12122 -c 100 -C 100 -A -E -H -l unix -Y 1 -2 "$data/pure.pem" &
    pid=$!
    started+=("$pid")
    sleep 1
    ftp pure-ftpd 12122 "$pid" --forks
    theirs=(--ssl-reqd --insecure -u fgbench:bench-4711)
    once pure-ftpd "FTPS STOR" "$pid" "${theirs[@]}" -T "$data/gib" ftp://127.0.0.1:12122/tls-gib
    once pure-ftpd "FTPS RETR" "$pid" "${theirs[@]}" ftp://127.0.0.1:12122/tls-gib
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
    ftp proftpd 12123 "$pid" --forks
fi
