//! The cluster is away from a node, or from all: uploads go on until the stated limit, and are refused behind it.

use crate::cluster::Cluster;
use crate::load::Load;
use crate::member::Member;

#[test]
fn a_node_is_cut_off() {
    let Some(mut cluster) = Cluster::start(&[("unshipped_max_s", "5")]) else {
        return;
    };
    let load = Load::begin(&mut cluster);
    load.descriptions(5);
    let host = cluster.nodes[1].door.host;
    cluster.net.cut(host);
    load.uploads(1, 20);
    load.refusals(1);
    // The other goes on, and so do accounts.
    load.uploads(0, 20);
    load.descriptions(5);
    assert_eq!(load.refused(0), 0);
    cluster.net.mend(host);
    load.uploads(1, 20);
    load.verify(&mut cluster);
}

#[test]
fn no_member_leads_and_then_everything_starts_at_once() {
    let Some(mut cluster) = Cluster::start(&[("unshipped_max_s", "5")]) else {
        return;
    };
    let load = Load::begin(&mut cluster);
    load.descriptions(5);
    cluster.members[..2].iter_mut().for_each(Member::kill);
    for node in 0..2 {
        load.uploads(node, 20);
    }
    for node in 0..2 {
        load.refusals(node);
    }
    cluster.members[2].kill();
    for node in &mut cluster.nodes {
        node.at(crate::support::Server::kill_and_restart);
    }
    cluster.members.iter_mut().for_each(Member::start);
    load.descriptions(5);
    for node in 0..2 {
        load.uploads(node, 20);
    }
    // Once more, from full work.
    cluster.members.iter_mut().for_each(Member::kill);
    for node in &mut cluster.nodes {
        node.at(crate::support::Server::kill_and_restart);
    }
    cluster.members.iter_mut().for_each(Member::start);
    load.descriptions(5);
    for node in 0..2 {
        load.uploads(node, 20);
    }
    load.verify(&mut cluster);
}
