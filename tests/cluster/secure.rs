//! A node and its member over TLS, with certificates that `filegridctl` makes.

use std::path::Path;

use filegrid_meta::config::{Config, Listen, security};
use filegrid_meta::serve::Serving;
use filegrid_meta::wire::Identity;
use filegridctl::authority::Authority;
use serde_json::json;

use crate::member::{event_of, tree_with};
use crate::support::{Server, poll};

/// Files of a directory that an authority has made: its certificate, the other one, and the key.
fn files(directory: &Path) -> [String; 3] {
    let names = ["authority.pem", "certificate.pem", "key.pem"];
    names.map(|name| directory.join(name).to_str().unwrap().to_owned())
}

fn certify(server: &mut Server, directory: &Path) {
    let names = ["authority", "certificate", "key"];
    for (name, file) in names.into_iter().zip(files(directory)) {
        server.set(&format!("metadata_tls_{name}"), &file);
    }
}

#[test]
fn a_node_and_its_member_know_each_other_by_their_certificates() {
    let mut server = Server::start();
    server.tolerate("the metadata cluster is away");
    let before = event_of(&server.upload(&[("f", "before", b"1")], None));
    assert_eq!(server.tree(), ["/", "/before"]);
    server.terminate();
    assert!(server.wait_for_end().success());

    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::make(directory.path()).unwrap();
    let [root, certificate, key] = files(&authority.certify(&Identity::member(1)).unwrap());
    let moved = directory.path().join("data");
    std::fs::rename(server.data().join("meta"), &moved).unwrap();
    let mut config = Config::embedded(moved);
    config.listen = Some(Listen {
        address: "127.0.0.1:0".parse().unwrap(),
        advertise: String::new(),
        security: security(&root, &certificate, &key, false).unwrap(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let serving = runtime.block_on(Serving::start(&config)).unwrap();

    let own = Identity::node(&format!("{:016x}", before.node));
    let own = authority.certify(&own).unwrap();
    let address = format!("1@127.0.0.1:{}", serving.port().unwrap());
    server.set("metadata_members", &address);
    certify(&mut server, &own);
    server.start_again();
    let after = event_of(&server.upload(&[("f", "after", b"2")], None));
    assert_eq!(tree_with(&server, after), ["/", "/after", "/before"]);

    // The certificate of another node is good for nothing here.
    server.terminate();
    assert!(server.wait_for_end().success());
    let other = Identity::node(&format!("{:016x}", before.node ^ 1));
    certify(&mut server, &authority.certify(&other).unwrap());
    server.start_again();
    poll(|| server.log().contains("the certificate is not one of node"));
    let tree = server.json(&server.token, "/api/list/tree", &json!({}));
    tree.is_problem(503);
    runtime.block_on(serving.stop());
}
