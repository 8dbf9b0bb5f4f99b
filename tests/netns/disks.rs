//! The disk of a member is full, or gone.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::Cluster;
use crate::load::Load;
use crate::member::Member;
use crate::support::poll;

/// A small disk, in memory. Dropped, it is gone.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: &Path) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=96m,mode=700", "filegrid"])
            .arg(path);
        assert!(mount.status().unwrap().success());
        Self(path.to_owned())
    }

    fn filling(&self) -> PathBuf {
        self.0.join("filling")
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(self.filling()).unwrap();
        // What is written in the end is as small as what the disk still takes.
        for length in [1 << 20, 4096] {
            while std::io::Write::write_all(&mut file, &vec![0; length]).is_ok() {}
        }
    }

    fn clear(&self) {
        std::fs::remove_file(self.filling()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn the_disk_of_a_member_is_full() {
    let mut disk = None;
    let prepare = |members: &mut [Member]| {
        // Each time that it makes its state durable it needs a little more of the disk.
        members[1].set("persist_after_entries", "20");
        disk = Some(SmallDisk::at(&members[1].data()));
    };
    let Some(mut cluster) = Cluster::start_with(&[], prepare) else {
        return;
    };
    let disk = disk.unwrap();
    cluster.announce("No space left on device");
    let load = Load::begin(&mut cluster);
    load.descriptions(5);
    disk.fill();
    // It ends by itself, and the others go on.
    poll(|| !cluster.member(2).runs());
    load.descriptions(5);
    load.uploads(0, 10);
    load.uploads(1, 10);
    disk.clear();
    cluster.member(2).start();
    load.descriptions(5);
    // It follows again: it can lead.
    poll(|| cluster.try_operator(&["transfer", "2"]).is_ok());
    load.descriptions(5);
    assert_eq!((load.refused(0), load.refused(1)), (0, 0));
    load.verify(&mut cluster);
    drop(cluster);
}

#[test]
fn a_member_whose_disk_is_gone_is_replaced() {
    let Some(mut cluster) = Cluster::start(&[]) else {
        return;
    };
    let load = Load::begin(&mut cluster);
    load.descriptions(5);
    let lost = cluster.leader();
    cluster.member(lost).kill();
    std::fs::remove_dir_all(cluster.member(lost).data()).unwrap();
    load.descriptions(5);
    poll(|| cluster.try_operator(&["remove", &lost.to_string()]).is_ok());
    cluster.fourth();
    let address = Member::address(4);
    poll(|| cluster.try_operator(&["add", "4", &address]).is_ok());
    // Now the new one is needed, and may lead, which nodes do not know of.
    let other = cluster.leader();
    let gone = if other == 4 { lost % 3 + 1 } else { other };
    cluster.member(gone).kill();
    load.descriptions(5);
    load.uploads(0, 10);
    load.uploads(1, 10);
    poll(|| cluster.try_operator(&["transfer", "4"]).is_ok());
    load.descriptions(5);
    cluster.member(gone).start();
    assert_eq!((load.refused(0), load.refused(1)), (0, 0));
    load.verify(&mut cluster);
}
