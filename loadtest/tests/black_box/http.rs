//! Servers of files by HTTP that are no nodes, by the library.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use loadtest::files::Files;
use loadtest::plan::{Access, Directories, HttpAccess, Plan, Store};
use loadtest::profile::{Mix, Profile};
use loadtest::run::{Outcome, run};
use loadtest::schedule::{Pace, Until};
use loadtest::target::{Protocol, Target};
use loadtest::thresholds::Thresholds;
use loadtest::tls::Trust;

use crate::share::{Framing, serve};

fn by_put() -> HttpAccess {
    HttpAccess {
        store: Store::Put,
        directories: Directories::Mkcol,
        headers: "X-Password: horse\r\n".to_owned(),
        archive: Some("?zip".to_owned()),
        trust: Trust::System,
    }
}

fn by_form() -> HttpAccess {
    let act = |what: &str| vec![("act".to_owned(), what.to_owned())];
    HttpAccess {
        store: Store::Form {
            action: "{}?to=there".to_owned(),
            field: "f".to_owned(),
            fields: act("put"),
        },
        directories: Directories::Form {
            action: "{}".to_owned(),
            field: "name".to_owned(),
            fields: act("mkdir"),
        },
        ..by_put()
    }
}

fn plan(access: HttpAccess, server: SocketAddr, profile: Profile) -> Plan {
    Plan {
        access: Access::Http(access),
        targets: vec![Target::parse(Protocol::Http, &format!("http://{server}")).unwrap()],
        profile,
        mix: Mix::default(),
        files: Files {
            root: "/run".to_owned(),
            sizes: "uniform:0..100KiB".parse().unwrap(),
            seed: 3,
            prepared: if profile.is_prepared() { 10 } else { 0 },
            slots: 4,
            connections: 3,
        },
        connections: 3,
        threads: 1,
        pace: Pace::Closed,
        until: Until::Requests(40),
        warm_up: Duration::ZERO,
        verify: true,
        keep: false,
        is_prepared: false,
        timeout: Duration::from_secs(60),
        grace: Duration::from_secs(10),
        seed: 3,
        pids: Vec::new(),
        settle: false,
        json: None,
        html: None,
        quiet: true,
        thresholds: Thresholds::default(),
    }
}

#[track_caller]
fn went_well(outcome: &Outcome, requests: u64) {
    let figures = &outcome.figures;
    assert_eq!(
        (figures.all.requests, figures.errors_count()),
        (requests, 0),
        "{:?}",
        figures.errors
    );
    assert!(outcome.is_complete, "{:?}", outcome.notes);
}

const PROFILES: [Profile; 5] = [
    Profile::Upload,
    Profile::Download,
    Profile::Mixed,
    Profile::List,
    Profile::Archive,
];

#[test]
fn every_profile_runs_is_verified_and_leaves_nothing() {
    for framing in [Framing::Length, Framing::Chunks, Framing::End] {
        for access in [by_put(), by_form()] {
            let (server, share) = serve(framing);
            for profile in PROFILES {
                went_well(&run(plan(access.clone(), server, profile)).unwrap(), 40);
                assert!(share.lock().unwrap().entries.is_empty());
            }
            let share = share.lock().unwrap();
            let all_carry = share
                .requests
                .iter()
                .all(|asked| asked.headers.contains("X-Password: horse\r\n"));
            assert!(all_carry);
            // A connection is used again wherever the server lets it.
            let each_once = share.connections == share.requests.len();
            assert_eq!(
                (share.connections == 15, each_once),
                (framing != Framing::End, framing == Framing::End)
            );
        }
    }
}

#[test]
fn connections_that_are_ended_while_they_rest_are_made_anew() {
    let (server, share) = serve(Framing::Gone);
    let access = HttpAccess {
        directories: Directories::Implied,
        ..by_put()
    };
    let mut plan = plan(access, server, Profile::Upload);
    (plan.connections, plan.files.connections) = (1, 1);
    plan.pace = Pace::Open { per_second: 5.0 };
    plan.until = Until::Requests(8);
    (plan.verify, plan.keep) = (false, true);
    went_well(&run(plan).unwrap(), 8);
    assert_eq!(share.lock().unwrap().connections, 8);
}

#[test]
fn directories_may_come_with_their_files() {
    let (server, share) = serve(Framing::Length);
    let access = HttpAccess {
        directories: Directories::Implied,
        ..by_put()
    };
    went_well(&run(plan(access, server, Profile::Mixed)).unwrap(), 40);
    let share = share.lock().unwrap();
    assert!(share.requests.iter().all(|asked| asked.method != "MKCOL"));
}

#[test]
fn what_is_wrong_is_seen() {
    let (server, share) = serve(Framing::Chunks);
    share.lock().unwrap().is_wrong = true;
    for profile in [Profile::Download, Profile::Archive] {
        let mut plan = plan(by_put(), server, profile);
        plan.files.sizes = "1KiB".parse().unwrap();
        assert_eq!(run(plan).unwrap().figures.wrong_count(), 40);
    }
    // A page is no archive, even where archives cannot be compared.
    let mut other = by_put();
    other.archive = Some("?tar".to_owned());
    let mut no_archive = plan(other, server, Profile::Archive);
    no_archive.files.sizes = "1KiB".parse().unwrap();
    assert_eq!(run(no_archive).unwrap().figures.wrong_count(), 40);
    let mut refused = by_put();
    refused.archive = None;
    let outcome = run(plan(refused, server, Profile::Archive)).unwrap();
    assert_eq!(outcome.figures.errors[0].kind, "unsupported");
}

#[test]
fn what_is_kept_stays_where_the_outcome_says() {
    let (server, share) = serve(Framing::Length);
    let mut plan = plan(by_put(), server, Profile::Mixed);
    plan.keep = true;
    let outcome = run(plan).unwrap();
    went_well(&outcome, 40);
    assert_eq!(outcome.root, "/run");
    assert!(
        outcome.notes.contains(&"/run was kept".to_owned()),
        "{:?}",
        outcome.notes
    );
    let share = share.lock().unwrap();
    let prepared = share
        .entries
        .keys()
        .filter(|path| path.starts_with("/run/files/"));
    assert_eq!(prepared.count(), 10);
    assert!(share.requests.iter().all(|asked| asked.method != "DELETE"));
}

/// A real one, if it is installed.
struct Nginx {
    child: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Nginx {
    fn start() -> Option<Self> {
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"]
            .into_iter()
            .find(|path| Path::new(path).exists())?;
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().display();
        std::fs::create_dir(directory.path().join("files")).unwrap();
        // It cannot pick a port, so one is picked for it: free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let users = match rustix::process::geteuid().is_root() {
            true => "user root;",
            false => "",
        };
        let config = format!(
            "daemon off; {users} pid {place}/pid; error_log stderr; events {{}}\n\
             http {{ access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/p; \
             fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n\
             server {{ listen {address}; root {place}/files; client_max_body_size 0; keepalive_requests 7; autoindex on; \
             location / {{ dav_methods PUT DELETE MKCOL; }} }} }}\n"
        );
        std::fs::write(directory.path().join("nginx.conf"), config).unwrap();
        let child = Command::new(program)
            .arg("-c")
            .arg(directory.path().join("nginx.conf"))
            .spawn()
            .unwrap();
        let started = Self {
            child,
            address,
            directory,
        };
        started.wait();
        Some(started)
    }

    #[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
    fn wait(&self) {
        for _ in 0..200 {
            if std::net::TcpStream::connect(self.address).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("nginx does not start");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it only if it is asked to.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.child.wait();
    }
}

#[test]
fn nginx_is_served_by_put() {
    let Some(nginx) = Nginx::start() else { return };
    for profile in [Profile::Upload, Profile::Download, Profile::Mixed, Profile::List] {
        let access = HttpAccess {
            archive: None,
            ..by_put()
        };
        went_well(&run(plan(access, nginx.address, profile)).unwrap(), 40);
    }
    assert!(
        std::fs::read_dir(nginx.directory.path().join("files"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[test]
fn a_server_that_forks_is_seen_whole() {
    let Some(nginx) = Nginx::start() else { return };
    let mut plan = plan(by_put(), nginx.address, Profile::Upload);
    plan.files.sizes = "1MiB".parse().unwrap();
    plan.pids = vec![nginx.child.id()];
    plan.settle = true;
    let outcome = run(plan).unwrap();
    went_well(&outcome, 40);
    // The first process does nothing itself: its child works.
    let usage = outcome.figures.usage;
    assert!(usage.server_cpu_s.unwrap() > 0.005, "{usage:?}");
    assert!(usage.server_cpu_after_s.unwrap() >= 0.0, "{usage:?}");
    assert!(usage.server_memory_peak_bytes.unwrap() > 100 << 10, "{usage:?}");
}
