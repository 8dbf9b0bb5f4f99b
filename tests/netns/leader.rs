//! The member that leads is killed, cut off, and stands still.

use crate::cluster::Cluster;
use crate::load::Load;

#[test]
fn the_leader_is_killed() {
    let Some(mut cluster) = Cluster::start(&[]) else {
        return;
    };
    let load = Load::begin(&mut cluster);
    for _ in 0..2 {
        load.descriptions(5);
        let leader = cluster.leader();
        cluster.member(leader).kill();
        load.descriptions(5);
        load.uploads(0, 10);
        load.uploads(1, 10);
        cluster.member(leader).start();
    }
    load.descriptions(5);
    assert_eq!((load.refused(0), load.refused(1)), (0, 0));
    load.verify(&mut cluster);
}

#[test]
fn the_leader_is_cut_off() {
    let Some(mut cluster) = Cluster::start(&[]) else {
        return;
    };
    let load = Load::begin(&mut cluster);
    for _ in 0..2 {
        load.descriptions(5);
        let leader = cluster.leader();
        cluster.net.cut(leader);
        load.descriptions(5);
        load.uploads(0, 10);
        load.uploads(1, 10);
        cluster.net.mend(leader);
    }
    load.descriptions(5);
    assert_eq!((load.refused(0), load.refused(1)), (0, 0));
    load.verify(&mut cluster);
}

#[test]
fn members_stand_still() {
    let Some(mut cluster) = Cluster::start(&[]) else {
        return;
    };
    let load = Load::begin(&mut cluster);
    load.descriptions(5);
    let leader = cluster.leader();
    for paused in [leader, leader % 3 + 1] {
        cluster.member(paused).pause();
        load.descriptions(5);
        load.uploads(0, 10);
        load.uploads(1, 10);
        cluster.member(paused).resume();
        load.descriptions(5);
    }
    assert_eq!((load.refused(0), load.refused(1)), (0, 0));
    load.verify(&mut cluster);
}
