//! Hosts: network namespaces, each with one link to a bridge.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::programs::lacks;

/// Where the system has them.
const NAMESPACES: &str = "/run/netns";

/// Hosts with the addresses 10.0.0.1 and so on. The bridge has 10.0.0.254, in a namespace of its own. Dropped, all is
/// removed.
pub(crate) struct Net {
    /// What the names of its namespaces begin with: no other process, and no other test, has the same.
    prefix: String,
    hosts: u8,
}

/// The bridge's namespace, which reaches every host.
pub(crate) const HUB: u8 = 254;

impl Net {
    /// Hosts that are numbered from 1; `None` where that is not possible, and may be so.
    pub(crate) fn new(hosts: u8) -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() || !programs(&["ip"]) {
            lacks("root, and ip of iproute2, for network namespaces");
            return None;
        }
        static FORGET: std::sync::Once = std::sync::Once::new();
        FORGET.call_once(forget_dead);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let net = Self {
            prefix: format!("filegrid-{}-{number}", std::process::id()),
            hosts,
        };
        if !ip(&format!("netns add {}", net.name(HUB))) {
            lacks("the right to make network namespaces");
            return None;
        }
        let hub = net.name(HUB);
        let mut links = "link set lo up\nlink add br0 type bridge\nlink set br0 up\n".to_owned();
        links += "addr add 10.0.0.254/24 dev br0\n";
        for host in 1..=hosts {
            let name = net.name(host);
            assert!(ip(&format!("netns add {name}")));
            links += &format!("link add v{host} type veth peer name eth0 netns {name}\n");
            links += &format!("link set v{host} master br0 up\n");
        }
        assert!(ip_in(&hub, &links));
        for host in 1..=hosts {
            let up = format!("link set lo up\naddr add 10.0.0.{host}/24 dev eth0\nlink set eth0 up\n");
            assert!(ip_in(&net.name(host), &up));
        }
        Some(net)
    }

    fn name(&self, host: u8) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// Does something on a host: what it connects to, and the processes that it starts, are there.
    pub(crate) fn at<T>(&self, host: u8, act: impl FnOnce() -> T) -> T {
        struct Back(File);
        impl Drop for Back {
            fn drop(&mut self) {
                enter(&self.0);
            }
        }
        let there = File::open(Path::new(NAMESPACES).join(self.name(host))).unwrap();
        let _back = Back(File::open("/proc/thread-self/ns/net").unwrap());
        enter(&there);
        act()
    }

    /// Takes the link of a host down.
    pub(crate) fn cut(&self, host: u8) {
        assert!(ip_in(&self.name(HUB), &format!("link set v{host} down\n")));
    }

    /// Takes it up again.
    pub(crate) fn mend(&self, host: u8) {
        assert!(ip_in(&self.name(HUB), &format!("link set v{host} up\n")));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in (1..=self.hosts).chain([HUB]) {
            let _ = ip(&format!("netns del {}", self.name(host)));
        }
    }
}

/// Moves this thread.
fn enter(namespace: &File) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// Whether programs can be run that have no `--version`.
fn programs(names: &[&str]) -> bool {
    let runs = |name: &&str| {
        let mut command = Command::new(name);
        command.arg("-V").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok()
    };
    names.iter().all(runs)
}

/// Removes what processes have left that were killed.
fn forget_dead() {
    for entry in std::fs::read_dir(NAMESPACES).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let process = name
            .strip_prefix("filegrid-")
            .and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

fn ip(line: &str) -> bool {
    batch(&[], &format!("{line}\n"))
}

fn ip_in(namespace: &str, lines: &str) -> bool {
    batch(&["-n", namespace], lines)
}

fn batch(options: &[&str], lines: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(options).args(["-batch", "-"]).stdin(Stdio::piped());
    let mut running = command.spawn().unwrap();
    let mut input = running.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    running.wait().unwrap().success()
}
