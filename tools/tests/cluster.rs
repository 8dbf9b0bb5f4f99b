//! The program `filegridctl`, as an operator calls it, with members that speak TLS.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(missing_docs, reason = "the names of tests say what they hold")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{self, Output};

use filegrid_meta::config::{self, Overrides};
use filegrid_meta::serve::Serving;
use filegrid_meta::store::{Command, Start};
use serde_json::Value;
use tokio::runtime::Runtime;

/// Directories that `cluster init` has made, and members that run in them.
struct World {
    runtime: Runtime,
    directory: tempfile::TempDir,
    addresses: Vec<String>,
    serving: Vec<Serving>,
}

impl World {
    /// A cluster of three, started from nothing but what `cluster init` makes; a fourth address is free.
    fn start() -> Self {
        let listeners: Vec<_> = (0..4)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let addresses = listeners.iter().map(|of| of.local_addr().unwrap().to_string());
        let mut world = Self {
            addresses: addresses.collect(),
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
            directory: tempfile::tempdir().unwrap(),
            serving: Vec::new(),
        };
        drop(listeners);
        let members: Vec<_> = world.addresses.iter().take(3).zip(1..).collect();
        let members: Vec<_> = members.iter().map(|(at, id)| format!("{id}@{at}")).collect();
        let made = world.init(&members.join(","));
        assert_eq!(made["directories"].as_array().unwrap().len(), 4);
        for id in 1..=3 {
            world.run_member(id, Some(&world.of(&format!("member-{id}/filegrid-meta.toml"))));
        }
        let leading = world.serving[0].member().wait_leader();
        world.runtime.block_on(leading).unwrap();
        world
    }

    fn of(&self, name: &str) -> PathBuf {
        self.directory.path().join("made").join(name)
    }

    fn init(&self, members: &str) -> Value {
        let made = self.of("");
        let output = call(&[
            "--json",
            "cluster",
            "init",
            made.to_str().unwrap(),
            "--members",
            members,
        ]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs a member with the files of its directory, which it would find there if it were started there.
    fn run_member(&mut self, id: u64, file: Option<&Path>) {
        let own = self.of(&format!("member-{id}"));
        let beside = |name: &str| own.join(name).to_str().unwrap().to_owned();
        let variables = [
            ("FILEGRID_META_TLS_AUTHORITY", beside("authority.pem")),
            ("FILEGRID_META_TLS_CERTIFICATE", beside("certificate.pem")),
            ("FILEGRID_META_TLS_KEY", beside("key.pem")),
        ];
        let options = Overrides {
            data: Some(own.join("data")),
            id: file.is_none().then_some(id),
            listen: file.is_none().then(|| self.addresses[id as usize - 1].clone()),
        };
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let config = config::load(file, variables, options).unwrap();
        if file.is_some() {
            assert_eq!(config.metrics.unwrap().port(), 0, "they share a machine");
        }
        let serving = self.runtime.block_on(Serving::start(&config)).unwrap();
        self.serving.push(serving);
    }

    fn stop(mut self) {
        for serving in self.serving.drain(..) {
            self.runtime.block_on(serving.stop());
        }
    }

    fn operator(&self, arguments: &[&str]) -> Output {
        let config = self.of("operator/filegridctl.toml");
        let mut all = vec!["--json", "--config", config.to_str().unwrap(), "cluster"];
        all.extend(arguments);
        call(&all)
    }

    fn says(&self, arguments: &[&str]) -> Value {
        let output = self.operator(arguments);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn refuses(&self, arguments: &[&str]) -> String {
        refusal(&self.operator(arguments))
    }
}

fn refusal(output: &Output) -> String {
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(1), 0),
        "{output:?}"
    );
    let said: Value = serde_json::from_slice(&output.stderr).unwrap();
    said["error"].as_str().unwrap().to_owned()
}

fn call(arguments: &[&str]) -> Output {
    let mut command = process::Command::new(env!("CARGO_BIN_EXE_filegridctl"));
    command.args(arguments).output().unwrap()
}

/// The numbers of the members, those that can be asked, and those that lead as they say themselves.
fn ids(status: &Value, pick: impl Fn(&Value) -> bool) -> Vec<u64> {
    let members = status["members"].as_array().unwrap().iter();
    let picked = members.filter(|member| pick(member));
    picked.map(|member| member["id"].as_u64().unwrap()).collect()
}

#[test]
fn members_come_lead_and_go() {
    let mut world = World::start();
    let status = world.says(&["status"]);
    assert_eq!(ids(&status, |member| member["voter"] == true), [1, 2, 3]);
    let leader = status["leader"].as_u64().unwrap();
    assert_eq!(ids(&status, |member| member["state"] == "leader"), [leader]);

    let next = leader % 3 + 1;
    assert_eq!(world.says(&["transfer", &next.to_string()])["leader"], next);
    assert_eq!(world.says(&["status"])["leader"], next);

    // The fourth waits to be added, with a certificate that is made when it is needed.
    let made = world.of("");
    let made = made.to_str().unwrap();
    assert!(
        call(&["cluster", "certificate", "member", made, "4"])
            .status
            .success()
    );
    world.run_member(4, None);
    let address = world.addresses[3].clone();
    for _ in 0..2 {
        assert_eq!(world.says(&["add", "4", &address])["added"], 4);
    }
    let status = world.says(&["status"]);
    assert_eq!(ids(&status, |member| member["voter"] == true), [1, 2, 3, 4]);
    assert!(ids(&status, |member| member["error"].is_string()).is_empty());
    let elsewhere = world.refuses(&["add", "4", "127.0.0.1:1"]);
    assert!(elsewhere.contains(&address), "{elsewhere}");

    assert_eq!(world.says(&["remove", "4"])["removed"], 4);
    assert_eq!(ids(&world.says(&["status"]), |_| true), [1, 2, 3]);
    let unknown = world.refuses(&["remove", "4"]);
    assert!(unknown.contains("there is no member 4"), "{unknown}");
    let unknown = world.refuses(&["transfer", "9"]);
    assert!(unknown.contains("member 9"), "{unknown}");
    world.stop();
}

#[test]
fn a_member_that_is_gone_is_shown_as_such() {
    let mut world = World::start();
    let stopped = world.serving.remove(2);
    world.runtime.block_on(stopped.stop());
    let leading = world.serving[0].member().wait_leader();
    world.runtime.block_on(leading).unwrap();
    let status = world.says(&["status"]);
    assert_eq!(ids(&status, |member| member["error"].is_string()), [3]);
    let config = world.of("operator/filegridctl.toml");
    let output = call(&["--config", config.to_str().unwrap(), "cluster", "status"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("cluster filegrid, term "), "{text}");
    assert!(lines[3].contains("cannot be asked"), "{text}");
    while let Some(serving) = world.serving.pop() {
        world.runtime.block_on(serving.stop());
    }
    let why = world.refuses(&["status"]);
    for member in ["member 1: ", "member 2: ", "member 3: "] {
        assert!(why.contains(member), "{why}");
    }
}

#[test]
fn who_is_no_operator_changes_nothing() {
    let world = World::start();
    let made = world.of("");
    let node = "00c0ffee00c0ffee";
    assert!(
        call(&["cluster", "certificate", "node", made.to_str().unwrap(), node])
            .status
            .success()
    );
    let config = world.of("operator/filegridctl.toml");
    let with = |directory: &Path, command: &[&str]| {
        let mut program = process::Command::new(env!("CARGO_BIN_EXE_filegridctl"));
        program
            .args(["--json", "--config", config.to_str().unwrap(), "cluster"])
            .args(command);
        for (key, file) in [
            ("TLS_AUTHORITY", "authority.pem"),
            ("TLS_CERTIFICATE", "certificate.pem"),
            ("TLS_KEY", "key.pem"),
        ] {
            program.env(format!("FILEGRIDCTL_{key}"), directory.join(file));
        }
        program.output().unwrap()
    };
    // What a node has does not make it an operator.
    let refused = refusal(&with(&world.of(&format!("node-{node}")), &["remove", "3"]));
    assert!(refused.contains("operator"), "{refused}");
    // Nor does a certificate of another authority.
    let other = world.directory.path().join("other");
    let init = [
        "cluster",
        "init",
        other.to_str().unwrap(),
        "--members",
        "1@127.0.0.1:1",
    ];
    assert!(call(&init).status.success());
    refusal(&with(&other.join("operator"), &["status"]));
    // Who has it may.
    assert!(with(&world.of("operator"), &["status"]).status.success());
    world.stop();
}

#[test]
fn nothing_that_was_made_is_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let made = directory.path().join("made");
    let made = made.to_str().unwrap();
    let init = [
        "--json",
        "cluster",
        "init",
        made,
        "--members",
        "1@one.example.com:8090",
    ];
    assert!(call(&init).status.success());
    let key = Path::new(made).join("authority.key");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&key).unwrap();
    let refused = refusal(&call(&init));
    assert!(refused.contains("authority.key"), "{refused}");
    let refused = refusal(&call(&["--json", "cluster", "certificate", "member", made, "1"]));
    assert!(refused.contains("member-1"), "{refused}");
    assert_eq!(std::fs::read_to_string(&key).unwrap(), text);
}

#[test]
fn what_is_wrong_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let made = directory.path().join("made");
    let made = made.to_str().unwrap();
    for (arguments, named) in [
        (
            &["cluster", "init", made, "--members", "here"][..],
            "1@10.0.0.1:8090",
        ),
        (&["cluster", "init", made, "--members", "1@a:1,1@b:2"], "twice"),
        (&["cluster", "init", made, "--members", "1@a"], "port"),
        (
            &["cluster", "certificate", "node", made, "seven"],
            "00c0ffee00c0ffee",
        ),
        (&["cluster", "certificate", "member", made, "1"], "authority.key"),
        (&["cluster", "status"], "tls_authority"),
        (&["--config", made, "cluster", "status"], made),
    ] {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let said = refusal(&call(&all));
        assert!(said.contains(named), "{said}");
    }
    assert!(!Path::new(made).exists(), "what was refused has made nothing");
}

#[test]
fn nodes_are_listed_and_only_those_that_are_known_are_drained() {
    let world = World::start();
    let config = world.of("operator/filegridctl.toml");
    let node = |arguments: &[&str]| {
        let mut all = vec!["--json", "--config", config.to_str().unwrap(), "node"];
        all.extend(arguments);
        call(&all)
    };
    let listed = node(&["list"]);
    assert!(listed.status.success(), "{listed:?}");
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["nodes"].as_array().unwrap().len(), 0);
    let unknown = refusal(&node(&["drain", "00c0ffee00c0ffee"]));
    assert!(unknown.contains("00c0ffee00c0ffee"), "{unknown}");
    let wrong = refusal(&node(&["undrain", "here"]));
    assert!(wrong.contains("00c0ffee00c0ffee"), "{wrong}");
    world.stop();
}

impl World {
    /// Has the cluster let a node in, as one that starts does.
    fn node_comes(&self, node: u64) {
        let joins = filegrid_meta::registry::Command::TakeOver {
            node,
            rows: Vec::new(),
            is_all: true,
            if_empty: true,
        };
        for command in [
            Command::Registry(joins),
            Command::Enter {
                node,
                logs: 1,
                start: Start::default(),
            },
        ] {
            let command = command.encode().unwrap();
            let done = self.serving[0].member().propose(&command);
            self.runtime.block_on(done).unwrap();
        }
    }

    /// What a command says that is not about the cluster's members.
    fn tells(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let config = self.of("operator/filegridctl.toml");
        let mut all = vec!["--json", "--config", config.to_str().unwrap()];
        all.extend(arguments);
        call(&all)
    }
}

#[test]
fn associations_and_their_users_are_made_and_changed() {
    let world = World::start();
    let early = refusal(&world.command(&["association", "create", "early"]));
    assert!(early.contains("no node has come"), "{early}");
    world.node_comes(7);
    let (seven, eight) = ("0000000000000007", "0000000000000008");
    let made = world.tells(&["association", "create", "Acme", "--wait", "0"]);
    assert_eq!((&made["home"], &made["created"]), (&seven.into(), &true.into()));
    // The next is given to the node that has fewer.
    world.node_comes(8);
    let other = world.tells(&["association", "create", "Other", "--wait", "0"]);
    assert_eq!(other["home"], eight);
    let key = made["associationKey"].as_str().unwrap();
    for _ in 0..2 {
        let own = "00000000-0000-4000-8000-000000000001";
        let again = [
            "association",
            "create",
            "Own",
            "--key",
            own,
            "--home",
            seven,
            "--wait",
            "0",
        ];
        assert_eq!(world.tells(&again)["home"], seven);
    }
    let unknown = ["association", "create", "x", "--home", "00000000000000ff"];
    let unknown = refusal(&world.command(&unknown));
    assert!(unknown.contains(seven) && unknown.contains(eight), "{unknown}");
    assert_eq!(world.tells(&["association", "list"]).as_array().unwrap().len(), 3);
    let renamed = world.tells(&["association", "update", key, "--name", "Acme Ltd"]);
    assert_eq!(renamed["name"], "Acme Ltd");

    let create = [
        "api-user",
        "create",
        key,
        "--scopes",
        "file.list file.read",
        "--root",
        "/in",
    ];
    let keys = world.tells(&create);
    let access_key = keys["accessKey"].as_str().unwrap();
    assert!(keys["secretKey"].as_str().unwrap().starts_with("sk_"));
    let rotated = world.tells(&["api-user", "rotate", key, access_key]);
    assert_ne!(rotated["secretKey"], keys["secretKey"]);
    let update = ["api-user", "update", key, access_key, "--scopes", "all"];
    let scopes = world.tells(&update)["scopes"].clone();
    assert!(scopes.as_str().unwrap().contains("file.delete"), "{scopes}");
    assert_eq!(
        world.tells(&["api-user", "disable", key, access_key])["enabled"],
        false
    );
    assert_eq!(
        world.tells(&["api-user", "enable", key, access_key])["enabled"],
        true
    );
    let listed = world.tells(&["api-user", "list", key]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert!(listed[0].get("secretKey").is_none());
    assert_eq!(world.tells(&["account", "list", key]), serde_json::json!([]));
    for (wrong, named) in [
        (
            &["api-user", "create", key, "--scopes", "all", "--root", "/.."][..],
            "Root",
        ),
        (&["api-user", "delete", key, "AK_nobody"], "AK_nobody"),
        (
            &["association", "show", "00000000-0000-4000-8000-0000000000ff"],
            "does not exist",
        ),
        (&["association", "delete", key], "disable it first"),
    ] {
        let refused = refusal(&world.command(wrong));
        assert!(refused.contains(named), "{refused}");
    }
    world.tells(&["api-user", "delete", key, access_key]);
    assert_eq!(world.tells(&["association", "disable", key])["enabled"], false);
    // Its node is no more.
    assert_eq!(
        world.tells(&["association", "delete", key, "--force"])["deleted"],
        true
    );
    assert_eq!(world.tells(&["association", "list"]).as_array().unwrap().len(), 2);
    world.stop();
}

#[test]
fn rejected_changes_are_an_alarm_with_reasons() {
    use filegrid_meta::store::{Batch, Shipped};
    use filegrid_tree::{Change, Id, Op, Protocol};

    let world = World::start();
    world.node_comes(7);
    let quiet = world.says(&["status"]);
    assert_eq!(quiet["nodes"][0]["applied"], 0);
    assert_eq!(quiet["alarms"], serde_json::json!([]));
    let change = Change {
        association: [9; 16],
        time: 1,
        protocol: Protocol::Api,
        ops: vec![Op::Detach {
            directory: Id([1; 16]),
            name: "x".to_owned(),
            id: Id([2; 16]),
        }],
    };
    let shipped = Shipped {
        generation: 1,
        change: change.encode(),
    };
    let batch = Command::Ship(Batch {
        node: 7,
        log: 0,
        epoch: 1,
        first: 1,
        as_of_ms: 1,
        changes: vec![shipped],
    });
    let batch = batch.encode().unwrap();
    let done = world.serving[0].member().propose(&batch);
    world.runtime.block_on(done).unwrap();
    let status = world.says(&["status"]);
    let log = &status["nodes"][0];
    assert_eq!(
        (&log["node"], &log["rejected"]),
        (&"0000000000000007".into(), &1.into())
    );
    assert!(log["behindMs"].as_u64().unwrap() > 1000, "{log}");
    assert!(log["heardMs"].is_u64(), "{log}");
    assert_eq!(status["alarms"].as_array().unwrap().len(), 1);
    let rejected = world.says(&["rejected"]);
    assert_eq!(rejected[0]["sequence"], 1);
    let reason = rejected[0]["reason"].as_str().unwrap();
    assert!(reason.contains("no association"), "{reason}");
    world.stop();
}

#[test]
fn a_cluster_begins_anew_from_its_backup() {
    let mut world = World::start();
    world.node_comes(7);
    let made = world.tells(&["association", "create", "Acme", "--wait", "0"]);
    let file = world.of("backup");
    let file = file.to_str().unwrap().to_owned();
    let told = world.tells(&["backup", &file]);
    assert!(told["rows"].as_u64().unwrap() > 0);
    assert!(refusal(&world.command(&["backup", &file])).contains("is not replaced"));
    assert_eq!(world.tells(&["verify", &file])["applied"], told["applied"]);
    let late = world.tells(&["association", "create", "Late", "--wait", "0"]);
    for serving in world.serving.drain(..) {
        world.runtime.block_on(serving.stop());
    }
    let data = world.of("member-1/data");
    let data = data.to_str().unwrap().to_owned();
    let members = format!("1@{}", world.addresses[0]);
    let restore = ["restore", &file, &data, "--members", &members];
    let refused = refusal(&world.command(&restore));
    assert!(refused.contains("is there already"), "{refused}");
    std::fs::remove_dir_all(&data).unwrap();
    // Half of a backup makes nothing.
    let half = std::fs::read(&file).unwrap();
    let broken = world.of("half");
    std::fs::write(&broken, &half[..half.len() / 2]).unwrap();
    let broken = broken.to_str().unwrap();
    refusal(&world.command(&["verify", broken]));
    refusal(&world.command(&["restore", broken, &data, "--members", &members]));
    assert!(!Path::new(&data).exists());

    assert_eq!(world.tells(&restore)["members"], serde_json::json!([1]));
    world.run_member(1, Some(&world.of("member-1/filegrid-meta.toml")));
    let leading = world.serving[0].member().wait_leader();
    world.runtime.block_on(leading).unwrap();
    let status = world.says(&["status"]);
    assert_eq!(ids(&status, |member| member["voter"] == true), [1]);
    let key = made["associationKey"].as_str().unwrap();
    assert_eq!(world.tells(&["association", "show", key])["name"], "Acme");
    let key = late["associationKey"].as_str().unwrap();
    refusal(&world.command(&["association", "show", key]));
    world.stop();
}

#[test]
fn a_new_node_is_given_an_id_and_a_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let made = directory.path().join("made");
    let made = made.to_str().unwrap();
    let members = "1@10.0.0.1:8090,2@10.0.0.2:8090";
    let init = call(&["cluster", "init", made, "--members", members]);
    assert!(init.status.success(), "{init:?}");
    let certify = || {
        let output = call(&["--json", "cluster", "certificate", "node", made]);
        assert!(output.status.success(), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        told["node"].as_str().unwrap().to_owned()
    };
    let node = certify();
    assert_eq!((node.len(), u64::from_str_radix(&node, 16).is_ok()), (16, true));
    assert_ne!(node, certify());
    let own = Path::new(made).join(format!("node-{node}"));
    let settings: toml::Table = std::fs::read_to_string(own.join("filegrid.toml"))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(settings["metadata_members"].as_array().unwrap().len(), 2);
    let certificate = own.join(settings["metadata_tls_certificate"].as_str().unwrap());
    let named = filegrid_meta::wire::identities_of(&certificate).unwrap();
    assert_eq!(named, [filegrid_meta::wire::Identity::node(&node)]);
}

#[test]
fn one_more_member_gets_what_it_needs_to_be_added() {
    let directory = tempfile::tempdir().unwrap();
    let made = directory.path().join("cluster");
    let made = made.to_str().unwrap();
    let begun = call(&["cluster", "init", made, "--members", "1@one.example.com:8090"]);
    assert!(begun.status.success());
    let output = call(&[
        "cluster",
        "certificate",
        "member",
        made,
        "2",
        "two.example.com:8090",
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("cluster add 2 two.example.com:8090"), "{text}");
    let own = Path::new(made).join("member-2");
    let read = |name| {
        let text = std::fs::read_to_string(own.join(name)).unwrap();
        text.parse::<toml::Table>().unwrap()
    };
    let settings = read("filegrid-meta.toml");
    for (key, value) in [
        ("listen", "0.0.0.0:8090"),
        ("advertise", "two.example.com:8090"),
        ("cluster", "filegrid"),
        ("tls_key", "key.pem"),
    ] {
        assert_eq!(settings[key].as_str(), Some(value));
    }
    assert_eq!(settings["id"].as_integer(), Some(2));
    assert!(settings["members"].as_array().unwrap().is_empty());
    let wrong = call(&["--json", "cluster", "certificate", "member", made, "3", "nowhere"]);
    assert!(refusal(&wrong).contains("no port"));
    assert!(
        !Path::new(made).join("member-3").exists(),
        "nothing is left of it"
    );
}
