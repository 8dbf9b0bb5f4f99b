//! The cluster is away from a node, or from all: uploads go on until the stated limit, and are refused behind it.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::load::Load;
use crate::member::Member;

/// For how long uploads go on without the cluster.
const LIMIT: &[(&str, &str)] = &[("unshipped_max_s", "5")];

/// Uploads to a node are refused, and not before the limit: it is counted from the first change that waits.
fn is_refused_at_the_limit(load: &Load, node: usize, since: Instant) {
    load.refusals(node);
    let after = since.elapsed();
    assert!(after >= Duration::from_secs(4), "refused after {after:?}");
}

#[allow(clippy::disallowed_methods, reason = "a test has a clock")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn a_node_is_cut_off() {
    let Some(mut cluster) = Cluster::start(LIMIT) else {
        return;
    };
    let load = Load::begin(&mut cluster);
    load.descriptions(5);
    let host = cluster.nodes[1].door.host;
    let since = now();
    cluster.net.cut(host);
    load.uploads(1, 20);
    is_refused_at_the_limit(&load, 1, since);
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
    let Some(mut cluster) = Cluster::start(LIMIT) else {
        return;
    };
    let load = Load::begin(&mut cluster);
    load.descriptions(5);
    let since = now();
    cluster.members[..2].iter_mut().for_each(Member::kill);
    for node in 0..2 {
        load.uploads(node, 20);
    }
    for node in 0..2 {
        is_refused_at_the_limit(&load, node, since);
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
