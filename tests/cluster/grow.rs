//! From one process to a node and members.

use crate::member::{Member, event_of, tree_with};
use crate::support::Server;

#[test]
fn the_member_of_a_node_becomes_one_by_itself() {
    let mut server = Server::start();
    server.tolerate("the metadata cluster is away");
    server.put("/before", b"1");
    let before = event_of(&server.upload(&[("f", "last", b"2")], None));
    assert_eq!(server.tree(), ["/", "/before", "/last"]);
    server.terminate();
    assert!(server.wait_for_end().success());
    let moved = server.data().with_extension("member");
    std::fs::rename(server.data().join("meta"), &moved).unwrap();
    let member = Member::on(&moved);
    let producer = member.store().producer(before.node, before.log).unwrap();
    assert_eq!(producer.applied, before.sequence);
    server.set("metadata_members", &member.name());
    server.set("metadata_plain_text", "true");
    server.start_again();
    let after = event_of(&server.upload(&[("f", "next", b"3")], None));
    assert_eq!(after.sequence, before.sequence + 1);
    assert_eq!(tree_with(&server, after), ["/", "/before", "/last", "/next"]);
    assert!(!server.data().join("meta").exists());
}
