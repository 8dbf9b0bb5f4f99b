//! A node and its member over TLS, with certificates that `filegridctl` makes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use filegrid_meta::config::{Config, Listen, security};
use filegrid_meta::serve::Serving;
use filegrid_meta::wire::Identity;
use filegridctl::authority::Authority;
use rustls::{ClientConnection, StreamOwned};
use serde_json::json;

use crate::ftp::{self, Ftp};
use crate::member::{event_of, tree_with};
use crate::programs::{self, well};
use crate::relay_sftp::sftp;
use crate::support::{Server, noise, poll, request};

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
    let moved = directory.path().join("data");
    std::fs::rename(server.data().join("meta"), &moved).unwrap();
    let (runtime, serving, address) = member(&authority, &moved);

    let own = Identity::node(&format!("{:016x}", before.node));
    let own = authority.certify(&own).unwrap();
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

/// A member that speaks TLS, alone, and where it is.
fn member(authority: &Authority, data: &Path) -> (tokio::runtime::Runtime, Serving, String) {
    let [root, certificate, key] = files(&authority.certify(&Identity::member(1)).unwrap());
    let mut config = Config::embedded(data.to_owned());
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
    let address = format!("1@127.0.0.1:{}", serving.port().unwrap());
    (runtime, serving, address)
}

/// What comes back from a relay for a request that is sent with the certificate of somebody.
fn answer_to(server: &Server, node: u64, directory: &Path) -> Vec<u8> {
    let [root, certificate, key] = files(directory);
    let security = security(&root, &certificate, &key, false).unwrap();
    let name = format!("node.{node:016x}.filegrid").try_into().unwrap();
    let connection = ClientConnection::new(security.configs().unwrap().1.clone(), name).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", server.port_of("relay"))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    let preamble = "{\"peer\":\"127.0.0.1:1\",\"what\":{\"Http\":{\"secure\":true}}}";
    let length = u16::try_from(preamble.len()).unwrap().to_le_bytes();
    let list = request("", "POST", "/api/list/files", &[], b"");
    let _ = stream.write_all(&[b"FGR\x01", &length[..], preamble.as_bytes(), &list].concat());
    let mut answer = [0; 12];
    match stream.read_exact(&mut answer) {
        Ok(()) => answer.to_vec(),
        Err(_) => Vec::new(),
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
fn nodes_relay_to_each_other_by_their_certificates_and_for_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::make(&directory.path().join("made")).unwrap();
    let (runtime, serving, address) = member(&authority, &directory.path().join("member"));
    let mut servers = [Server::start(), Server::start()];
    let mut nodes = Vec::new();
    for (server, name) in servers.iter_mut().zip(["one", "two"]) {
        server.tolerate("the metadata cluster is away");
        // They had members of their own before.
        server.tolerate("the metadata cluster has lost its registry");
        server.tolerate("the cluster lacks changes that the log does not have any more");
        server.tolerate("had other rows than this node");
        let node = event_of(&server.upload(&[("f", name, name.as_bytes())], None)).node;
        server.terminate();
        assert!(server.wait_for_end().success());
        server.set("metadata_members", &address);
        server.set("relay", "127.0.0.1:0");
        let own = Identity::node(&format!("{node:016x}"));
        let own = authority.certify(&own).unwrap();
        certify(server, &own);
        server.start_again();
        nodes.push((node, own));
    }
    let [one, two] = &mut servers;
    let target = |name: &str| format!("/api/download/single?path=/{name}");
    let large = noise(3 << 20, 1);
    two.put("/large", &large);
    poll(|| one.request(&two.token, "GET", &target("two"), &[], b"").status == 200);
    // Another shard may remember for a second that there was no way to the node.
    std::thread::sleep(Duration::from_millis(1200));
    assert!(one.request(&two.token, "GET", &target("large"), &[], b"").body == large);
    let back = [("f", "back", large.as_slice())];
    poll(|| two.upload_as(&one.token, &back, None).status == 200);
    assert!(one.get("/back").body == large);

    // The other protocols go the same way.
    ftp::account(two, ftp::NAME, "/", "RW");
    poll(|| Ftp::connect(one).try_login(ftp::NAME));
    let mut client = Ftp::connect(one);
    client.secure(one);
    assert!(client.try_login(ftp::NAME));
    client.upload("STOR by-ftp", &large);
    assert!(client.download("RETR by-ftp") == large);
    assert!(two.get("/by-ftp").body == large);
    let at = programs::directory(one, "files");
    std::fs::write(at.join("up"), &large).unwrap();
    if let Some(output) = sftp(one, &at, "put up /by-sftp\nget /by-sftp down\n") {
        well(&output);
        assert!(std::fs::read(at.join("down")).unwrap() == large);
        assert!(two.get("/by-sftp").body == large);
    }

    // Any node may come.
    let (node, own) = &nodes[0];
    assert_eq!(answer_to(one, *node, &nodes[1].1), b"HTTP/1.1 401");
    // Nobody else who has a certificate of the authority, and nobody with one of another.
    one.announce("who is no node has come to the relay");
    let operator = authority.certify(&Identity::operator("operator")).unwrap();
    assert_eq!(answer_to(one, *node, &operator), b"");
    let strange = Authority::make(&directory.path().join("other")).unwrap();
    let stranger = strange.certify(&Identity::node(&format!("{node:016x}"))).unwrap();
    std::fs::copy(own.join("authority.pem"), stranger.join("authority.pem")).unwrap();
    assert_eq!(answer_to(one, *node, &stranger), b"");
    let mut plain = TcpStream::connect(("127.0.0.1", one.port_of("relay"))).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let _ = plain.write_all(b"FGR\x01\x02\x00{}");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
    assert_eq!(
        one.request(&two.token, "GET", &target("two"), &[], b"").text(),
        "two"
    );
    runtime.block_on(serving.stop());
}
