//! What the cluster knows of its nodes, and what an operator does with them.

use filegridctl::operator::Operator;
use filegridctl::settings;
use serde_json::{Value, json};

use crate::member::{Member, event_of};
use crate::support::{Server, poll, until};

/// What `filegridctl` says to an operator of a member.
fn ask(
    member: &Member,
    what: impl AsyncFnOnce(&Operator) -> Result<filegridctl::report::Report, String>,
) -> Value {
    let variables = [
        ("FILEGRIDCTL_MEMBERS", member.name()),
        ("FILEGRIDCTL_PLAIN_TEXT", "true".to_owned()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let settings = settings::load(None, variables.into_iter()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let report = runtime.block_on(async { what(&Operator::new(settings)).await });
    report.unwrap().json
}

fn nodes(member: &Member) -> Vec<Value> {
    let told = ask(member, async |operator| operator.nodes().await);
    told["nodes"].as_array().unwrap().clone()
}

fn node_of(server: &Server) -> u64 {
    event_of(&server.json(&server.token, "/api/mkdir", &json!({"Params": "/here"}))).node
}

#[test]
fn a_drained_node_serves_what_it_has_and_gets_no_more() {
    let member = Member::started();
    let server = member.node(&[("public_url", "https://one.example.com/")]);
    server.put("/kept", b"before");
    let node = node_of(&server);
    poll(|| {
        nodes(&member)
            .iter()
            .any(|known| known["public_url"] == "https://one.example.com")
    });
    let all = nodes(&member);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["id"], format!("{node:016x}"));
    assert_eq!(
        (&all[0]["associations"], &all[0]["drained"]),
        (&json!(1), &json!(false))
    );
    poll(|| nodes(&member)[0]["heard_ms"].as_i64().is_some());

    let create = || {
        let name = json!({"Name": "another"});
        server.ask_admin(server.operator_token(), "POST", "/admin/associations", &name)
    };
    ask(&member, async |operator| operator.drain(node, true).await);
    let unready = until(503, || server.probe("/readyz"));
    assert!(unready.text().contains("drained"), "{}", unready.text());
    let refused = create();
    refused.is_problem(409);
    assert!(refused.text().contains("drained"), "{}", refused.text());
    assert_eq!(server.get("/kept").text(), "before");
    server.put("/more", b"after");
    assert_eq!(nodes(&member)[0]["drained"], true);

    ask(&member, async |operator| operator.drain(node, false).await);
    until(200, || server.probe("/readyz"));
    assert_eq!(create().status, 200);
    poll(|| nodes(&member)[0]["associations"] == 2);
}

#[test]
fn what_is_no_url_is_said_where_it_is_set() {
    let member = Member::started();
    let mut server = member.node(&[("public_url", "one.example.com")]);
    server.announce("the cluster does not take where this node is");
    poll(|| server.log().contains("public_url"));
}
