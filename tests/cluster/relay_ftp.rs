//! FTP and FTPS on a node that does not have the files.

use std::io::{Read as _, Write as _};
use std::process::Command;

use serde_json::json;

use crate::ftp::{self, Ftp, NAME, PASSWORD};
use crate::programs::{directory, run, well};
use crate::relay::{Pair, Stopped, answer_at_relay, preamble};
use crate::support::{Server, noise, poll};

/// A pair with an account on the node that has the files, which the other knows.
fn pair(rights: &str) -> (Pair, u64) {
    pair_with(rights, &[])
}

fn pair_with(rights: &str, settings: &[(&str, &str)]) -> (Pair, u64) {
    let pair = Pair::start_with(settings);
    let id = ftp::account(&pair.home, NAME, "/", rights);
    poll(|| Ftp::connect(&pair.other).try_login(NAME));
    (pair, id)
}

fn protocol_of(server: &Server, path: &str) -> String {
    let row = server.call("/api/list/tree", json!({ "Params": path }));
    row[0]["protocol"].as_str().unwrap().to_owned()
}

#[test]
fn a_session_does_what_it_does_where_the_files_are() {
    let (pair, _) = pair("RW");
    for secure in [false, true] {
        let mut client = Ftp::connect(&pair.other);
        if secure {
            client.secure(&pair.other);
        }
        assert!(client.try_login(NAME));
        let dir = if secure { "/tls" } else { "/plain" };
        client.expect(&format!("MKD {dir}"), 257);
        client.expect(&format!("CWD {dir}"), 250);
        assert!(client.expect("PWD", 257).contains(dir));
        let bytes = noise(5_000_000, 3);
        client.upload("STOR file", &bytes);
        assert!(pair.home.get(&format!("{dir}/file")).body == bytes);
        assert!(client.expect("SIZE file", 213).contains("5000000"));
        assert!(client.download("RETR file") == bytes);
        client.expect("REST 4000000", 350);
        assert!(client.download("RETR file") == bytes[4_000_000..]);
        // What was said for a transfer holds for none that comes after something else.
        client.expect("REST 4000000", 350);
        client.expect("STAT", 211);
        assert_eq!(client.download("RETR file").len(), bytes.len());
        client.upload("APPE file", b"the end");
        assert!(client.expect("SIZE file", 213).contains("5000007"));
        client.expect("RNFR file", 350);
        client.expect("RNTO other", 250);
        client.upload("STOR empty", b"");
        assert_eq!(client.listing("NLST"), ["empty", "other"]);
        assert_eq!(client.listing("LIST").len(), 2);
        let facts = client.listing("MLSD");
        assert!(facts.iter().any(|line| line.ends_with(" other")), "{facts:?}");
        assert!(client.expect("MLST other", 250).contains("size=5000007"));
        assert!(client.expect("STAT .", 213).contains("other"));
        client.expect("FEAT", 211);
        client.expect("OPTS HASH CRC32", 200);
        assert!(client.expect("FEAT", 211).contains("CRC32*"));
        let wanted = if secure { "FTPS" } else { "FTP" };
        assert_eq!(protocol_of(&pair.home, &format!("{dir}/empty")), wanted);
        // What is refused is refused there, and the session goes on.
        client.passive();
        client.expect("RETR none", 550);
        client.expect("RETR other", 425);
        client.expect("CWD /none", 550);
        let listener = client.active();
        client.expect("RETR empty", 150);
        let (stream, _) = listener.accept().unwrap();
        let mut nothing = Vec::new();
        client.wire(stream).read_to_end(&mut nothing).unwrap();
        assert_eq!(
            (client.expect_reply(226), nothing),
            ("226 Sent\r\n".to_owned(), Vec::new())
        );
        client.expect("DELE other", 250);
        client.expect("DELE empty", 250);
        client.expect("CDUP", 250);
        client.expect(&format!("RMD {dir}"), 250);
        client.expect("NOOP", 200);
        client.expect("QUIT", 221);
        assert!(client.is_closed());
    }
    let metrics = pair.other.probe("/metrics").text();
    for protocol in ["ftp", "ftps"] {
        let none = format!("filegrid_relayed_requests_total{{protocol=\"{protocol}\"}} 0");
        assert!(!metrics.contains(&none), "{protocol}");
    }
}

#[test]
fn a_transfer_that_breaks_is_not_taken_for_a_whole_one() {
    let (mut pair, _) = pair("RW");
    let bytes = noise(20_000_000, 4);
    let mut client = Ftp::login(&pair.other);
    // ABOR, in either direction.
    let mut data = client.begin("STOR up");
    data.write_all(&bytes[..3_000_000]).unwrap();
    client.send(b"ABOR\r\n");
    client.expect_reply(426);
    client.expect_reply(226);
    drop(data);
    assert_eq!(pair.home.get("/up").status, 404);
    client.upload("STOR whole", &bytes);
    let mut data = client.begin("RETR whole");
    let mut some = vec![0; 100_000];
    data.read_exact(&mut some).unwrap();
    client.send(b"ABOR\r\n");
    client.expect_reply(426);
    client.expect_reply(226);
    drop(data);
    // The session is as good as before.
    assert!(client.download("RETR whole") == bytes);
    // The client goes in the middle of it.
    let mut gone = Ftp::login(&pair.other);
    let mut data = gone.begin("STOR lost");
    data.write_all(&bytes[..3_000_000]).unwrap();
    drop(gone);
    let mut rest = [0];
    let _ = data.read(&mut rest);
    drop(data);
    assert_eq!(pair.home.get("/lost").status, 404);
    // A data connection over TLS that ends without saying so.
    let mut secure = Ftp::connect(&pair.other);
    secure.secure(&pair.other);
    assert!(secure.try_login(NAME));
    let mut data = secure.begin("STOR cut");
    data.write_all(&bytes[..1_000_000]).unwrap();
    drop(data);
    assert!(secure.expect_reply(426).contains("close_notify"));
    secure.expect("NOOP", 200);
    assert_eq!(pair.home.get("/cut").status, 404);
    // The node that has the files goes.
    let mut data = client.begin("STOR killed");
    data.write_all(&bytes[..3_000_000]).unwrap();
    pair.home.kill_and_restart();
    let _ = data.write_all(&bytes[3_000_000..]);
    data.end();
    assert!(client.expect_reply(421).contains("unknown"));
    assert!(client.is_closed());
    assert_eq!(pair.home.get("/killed").status, 404);
    poll(|| Ftp::connect(&pair.other).try_login(NAME));
    assert!(Ftp::login(&pair.other).download("RETR whole") == bytes);
}

#[test]
fn a_session_ends_with_its_account_and_rights_are_those_of_the_other_node() {
    let (mut pair, id) = pair("RO");
    let mut client = Ftp::login(&pair.other);
    client.expect("MKD /a", 550);
    client.passive();
    client.expect("STOR a", 550);
    client.expect("RETR a", 425);
    pair.home.delete_account(id);
    poll(|| matches!(client.ask("NOOP").0, 0 | 421));
    ftp::account(&pair.home, NAME, "/", "RW");
    poll(|| Ftp::connect(&pair.other).try_login(NAME));
    let mut client = Ftp::login(&pair.other);
    // Somebody else logs in on the same connection.
    client.expect("REIN", 220);
    client.expect("PWD", 530);
    assert!(client.try_login(NAME));
    client.upload("STOR a", b"1");
    pair.home.terminate();
    assert!(pair.home.wait_for_end().success());
    client.expect_reply(421);
    let mut refused = Ftp::connect(&pair.other);
    assert!(!refused.try_login(NAME));
    pair.home.start_again();
    poll(|| Ftp::connect(&pair.other).try_login(NAME));
}

#[test]
fn clients_that_people_use() {
    let (pair, _) = pair("RW");
    let server = &pair.other;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/ftp/client.py");
    let pem = server.data().join("tls/self-made.pem");
    for what in ["plain", "tls"] {
        let mut command = Command::new("python3");
        command.args([script, &server.port_of("ftp").to_string()]);
        let Some(output) = run(command.arg(&pem).arg(what)) else {
            return;
        };
        assert_eq!(well(&output), "done\n");
    }
    let files = directory(server, "files");
    let bytes = noise(3_000_000, 1);
    std::fs::write(files.join("up"), &bytes).unwrap();
    let curl = |scheme: &str, args: &[&str]| {
        let port = server.port_of(if scheme == "ftps" { "ftps" } else { "ftp" });
        let mut command = Command::new("curl");
        command.args(["-sS", "-u", &format!("{NAME}:{PASSWORD}"), "--cacert"]);
        command.arg(&pem).args(args).current_dir(&files);
        run(command.arg(format!("{scheme}://localhost:{port}/deep/er/{scheme}")))
    };
    for (scheme, args) in [
        ("ftp", &[][..]),
        ("ftp", &["--ssl-reqd"]),
        ("ftps", &[]),
        ("ftp", &["-P", "-"]),
        ("ftp", &["--disable-epsv", "--ftp-pasv"]),
    ] {
        let with = |more: &[&str]| curl(scheme, &[args, more].concat());
        let Some(output) = with(&["--ftp-create-dirs", "-T", "up"]) else {
            return;
        };
        well(&output);
        well(&with(&["-o", "down"]).unwrap());
        assert!(
            std::fs::read(files.join("down")).unwrap() == bytes,
            "{scheme} {args:?}"
        );
        std::fs::write(files.join("down"), &bytes[..1_000_000]).unwrap();
        well(&with(&["-C", "-", "-o", "down"]).unwrap());
        assert!(
            std::fs::read(files.join("down")).unwrap() == bytes,
            "{scheme} {args:?}"
        );
        assert!(pair.home.get(&format!("/deep/er/{scheme}")).body == bytes);
    }
    std::fs::create_dir_all(files.join("tree/below")).unwrap();
    for n in 0..40 {
        std::fs::write(files.join(format!("tree/below/f{n}")), noise(n * 700, n as u64)).unwrap();
    }
    let script = format!(
        "set net:max-retries 1; set ssl:verify-certificate no; open -p {} -u {NAME},'{PASSWORD}' 127.0.0.1; \
         mirror -R --parallel=3 tree /tree; mirror --parallel=3 /tree back; rm -r /tree; bye",
        server.port_of("ftp")
    );
    let Some(output) = run(Command::new("lftp").args(["-c", &script]).current_dir(&files)) else {
        return;
    };
    well(&output);
    assert_eq!(
        std::fs::read(files.join("back/below/f39")).unwrap(),
        noise(39 * 700, 39)
    );
    assert_eq!(pair.home.get("/tree/below/f1").status, 404);
}

#[test]
fn a_node_that_says_nothing_ends_the_session() {
    let (pair, _) = pair_with("RW", &[("relay_answer_s", "1")]);
    let mut client = Ftp::login(&pair.other);
    client.upload("STOR whole", b"1");
    let mut uploading = Ftp::login(&pair.other);
    let mut data = uploading.begin("STOR up");
    let stopped = Stopped::begin(&pair.home);
    assert!(client.expect("SIZE whole", 421).contains("is unknown"));
    assert!(client.is_closed());
    data.write_all(b"1").unwrap();
    data.end();
    drop(data);
    uploading.expect_reply(421);
    assert!(!Ftp::connect(&pair.other).try_login(NAME));
    drop(stopped);
    let mut again = Ftp::login(&pair.other);
    assert_eq!(again.download("RETR whole"), b"1");
}

#[test]
fn a_session_that_was_passed_on_is_not_passed_on_again() {
    let (pair, id) = pair("RW");
    let who = json!({"association": pair.home.association(), "account": id});
    let passed_on = preamble(&json!({"Ftp": {"who": who, "secure": false}}));
    let refused = answer_at_relay::<40>(&pair.other, &passed_on);
    assert!(String::from_utf8_lossy(&refused).contains("421 "), "{refused:?}");
}

#[test]
fn a_session_is_counted_by_its_protocol_where_the_files_are() {
    let (pair, _) = pair("RW");
    let mut client = Ftp::connect(&pair.other);
    client.secure(&pair.other);
    assert!(client.try_login(NAME));
    client.upload("STOR file", b"123");
    let metrics = pair.home.probe("/metrics").text();
    for line in [
        "filegrid_connections_open{protocol=\"ftps\"} 1",
        "filegrid_payload_received_bytes_total{protocol=\"ftps\"} 3",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let none = "filegrid_answers_total{protocol=\"ftps\",class=\"2xx\"} 0";
    assert!(!metrics.contains(none), "{metrics}");
}
