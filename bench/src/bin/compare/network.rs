//! A network of its own, for figures that do not depend on the settings of the machine, and a list of accounts of its own, so
//! that those that are made here are nobody else's and are gone with this process, however it ends.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Settings of that network. Congestion control that paces (bbr) costs more on a loopback interface than all of the
/// rest. Ports that a client has used are not free for a minute, and it has two for each file that goes over FTP.
///
/// Accounts stand in `/etc`, and whoever changes them replaces files there: a copy of all of it is laid over it, in memory.
///
/// Servers that are left when this program was ended by force are those that are still in this network.
const SETTINGS: &str = r#"
ip link set lo up
sysctl -qw net.ipv4.ip_local_port_range="20000 65000"
sysctl -qw net.ipv4.tcp_congestion_control=cubic 2>/dev/null || sysctl -qw net.ipv4.tcp_congestion_control=reno
mount -t tmpfs -o mode=755 accounts /mnt
cp -a /etc/. /mnt
mount --bind /mnt /etc
umount /mnt
"$@" &
program=$!
trap 'kill -TERM "$program"' TERM
trap : INT
while kill -0 "$program" 2>/dev/null; do wait "$program" && status=0 || status=$?; done
for process in /proc/[0-9]*; do
    if [ "$process" != "/proc/$$" ] && [ "$process/ns/net" -ef /proc/self/ns/net ]; then
        kill -KILL "${process#/proc/}" 2>/dev/null || true
    fi
done
exit "$status"
"#;
/// Set in the process that has one.
const INSIDE: &str = "FILEGRID_COMPARE_INSIDE";

/// Whether this process is in a network of its own.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Goes on in a network and with accounts of its own, if that is allowed: as root. Says whether it does.
///
/// # Errors
///
/// If it cannot be made.
pub(crate) fn enter() -> Result<bool, String> {
    if is_inside() {
        return Ok(true);
    }
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let error = Command::new("unshare")
        .args(["--net", "--mount", "bash", "-euc", SETTINGS, "bash"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(format!(
        "cannot make a network and a list of accounts with unshare (util-linux): {error}"
    ))
}
