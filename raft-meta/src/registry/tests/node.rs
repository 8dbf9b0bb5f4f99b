//! Rules of nodes.

use super::*;

const NODE: u64 = 7;

fn announce(relay: &str, public_url: &str) -> Command {
    Command::Announce {
        node: NODE,
        relay: relay.to_owned(),
        public_url: public_url.to_owned(),
    }
}

fn drain(node: u64, drained: bool) -> Command {
    Command::Drain { node, drained }
}

/// A registry that knows a node.
fn with_node() -> Registry {
    let mut registry = registry(1);
    let take_over = Command::TakeOver {
        node: NODE,
        rows: Vec::new(),
        is_all: true,
        if_empty: false,
    };
    registry.apply(&take_over).unwrap();
    registry
}

#[test]
fn a_node_says_where_it_is_and_stays_drained() {
    let mut registry = with_node();
    registry
        .apply(&announce("10.0.0.1:8091", "https://one.example.com"))
        .unwrap();
    registry.apply(&drain(NODE, true)).unwrap();
    let revision = registry.revision();
    let again = registry
        .apply(&announce("10.0.0.1:8091", "https://one.example.com"))
        .unwrap();
    assert!(again.rows.is_empty() && registry.revision() == revision);
    registry
        .apply(&announce("[::1]:8091", "http://one.example.com:8080"))
        .unwrap();
    let node = registry.node(NODE).unwrap();
    assert!(node.drained && node.relay == "[::1]:8091");
    let copy: Registry = registry.rows().collect();
    assert_eq!(copy, registry);
    registry.apply(&announce("", "")).unwrap();
    assert!(registry.node(NODE).unwrap().drained);
}

#[test]
fn a_drained_node_gets_no_associations() {
    let mut registry = with_node();
    registry.apply(&drain(NODE, true)).unwrap();
    let on = |node| Command::CreateAssociation {
        key: key(9),
        name: String::new(),
        node: Some(node),
    };
    conflict(&mut registry, &on(NODE));
    let place = Command::Place {
        key: key(1),
        node: NODE,
        from: 0,
    };
    conflict(&mut registry, &place);
    registry.apply(&drain(NODE, false)).unwrap();
    registry.apply(&place).unwrap();
    registry.apply(&on(NODE)).unwrap();
}

#[test]
fn strangers_and_what_is_no_address_are_refused() {
    let mut registry = with_node();
    missing(&mut registry, &drain(NODE + 1, true));
    for wrong in ["here", ":1", "a b:1", "host:70000", "host:"] {
        invalid(&mut registry, &announce(wrong, ""), "relay_address");
    }
    for wrong in [
        "one.example.com",
        "https://",
        "https://a/b",
        "ftp://a",
        "https://a@b",
        "https://a\r\nb",
    ] {
        invalid(&mut registry, &announce("", wrong), "public_url");
    }
    let long = format!("https://{}", "a".repeat(300));
    invalid(&mut registry, &announce("", &long), "public_url");
}
