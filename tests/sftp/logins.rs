//! Who gets in, and for how long.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, KeyboardInteractiveAuthResponse};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, decode_secret_key};
use serde_json::json;

use crate::client::{
    NAME, OK, PASSWORD, PUT, Sftp, Trusting, account, login, runtime, server, server_with, until,
};
use crate::programs::run;
use crate::support::Server;

/// A key of a kind, as `ssh-keygen` makes it; `None` without that.
fn key(server: &Server, kind: &str) -> Option<(russh::keys::PrivateKey, String)> {
    // The library of this client cannot read every key: one in hundreds is shorter than it expects.
    loop {
        let directory = crate::programs::directory(server, "keys");
        let path = directory.join(kind);
        let _ = std::fs::remove_file(&path);
        let mut command = std::process::Command::new("ssh-keygen");
        command.args(["-q", "-t", kind, "-N", "", "-f"]).arg(&path);
        crate::programs::well(&run(&mut command)?);
        let private = std::fs::read_to_string(&path).unwrap();
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        let public: Vec<_> = public.split(' ').take(2).collect();
        if let Ok(private) = decode_secret_key(&private, None) {
            return Some((private, public.join(" ")));
        }
    }
}

async fn by_key(server: &Server, name: &str, key: &russh::keys::PrivateKey, hash: Option<HashAlg>) -> bool {
    let config = Arc::new(client::Config::default());
    let address = ("127.0.0.1", server.port_of("sftp"));
    let mut session = client::connect(config, address, Trusting).await.unwrap();
    let key = PrivateKeyWithHashAlg::new(Arc::new(key.clone()), hash);
    session.authenticate_publickey(name, key).await.unwrap().success()
}

#[test]
fn keys_of_all_kinds_open_their_account_alone() {
    let server = server();
    let runtime = runtime();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let Some((private, public)) = key(&server, kind) else {
            return;
        };
        let new = json!({"Username": kind, "RsaKey": public, "Chroot": "/", "AccessRights": "RO"});
        server.call("/ftpaccounts/create", new);
        let hash = (kind == "rsa").then_some(HashAlg::Sha512);
        until(|| {
            runtime
                .block_on(by_key(&server, kind, &private, hash))
                .then_some(())
        });
        assert!(!runtime.block_on(by_key(&server, NAME, &private, hash)));
        if kind == "rsa" {
            assert!(runtime.block_on(by_key(&server, kind, &private, Some(HashAlg::Sha256))));
            assert!(!runtime.block_on(by_key(&server, kind, &private, None)), "SHA-1");
        }
        // It has no password, so no password is right.
        assert!(runtime.block_on(login(&server, kind, "")).is_err());
    }
}

#[test]
fn passwords_may_be_asked_for() {
    let server = server();
    runtime().block_on(async {
        let address = ("127.0.0.1", server.port_of("sftp"));
        let mut session = client::connect(Arc::default(), address, Trusting).await.unwrap();
        let full = format!("{NAME}@{}", server.association());
        for (password, right) in [("wrong", false), (PASSWORD, true)] {
            let asked = session
                .authenticate_keyboard_interactive_start(full.clone(), None)
                .await
                .unwrap();
            let KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } = asked else {
                panic!("{asked:?}")
            };
            assert!(prompts.len() == 1 && !prompts[0].echo);
            let answered = session
                .authenticate_keyboard_interactive_respond(vec![password.to_owned()])
                .await
                .unwrap();
            assert_eq!(
                matches!(answered, KeyboardInteractiveAuthResponse::Success),
                right
            );
        }
    });
}

#[test]
fn nobody_gets_in_without_a_right_password() {
    let server = server();
    runtime().block_on(async {
        let address = ("127.0.0.1", server.port_of("sftp"));
        let mut session = client::connect(Arc::default(), address, Trusting).await.unwrap();
        assert!(!session.authenticate_none(NAME).await.unwrap().success());
        for _ in 0..4 {
            assert!(
                !session
                    .authenticate_password(NAME, "wrong")
                    .await
                    .unwrap()
                    .success()
            );
        }
        let _ = session.authenticate_password(NAME, "wrong").await;
        let answer = session.authenticate_password(NAME, PASSWORD).await;
        assert!(answer.is_err() || session.is_closed(), "cut off: {answer:?}");
        assert!(login(&server, "nobody", PASSWORD).await.is_err());
        // What is guessed over SSH slows FTP as well, and the other way round.
        assert!(login(&server, NAME, "wrong").await.is_err());
        until_slowed(&server).await;
    });
}

async fn until_slowed(server: &Server) {
    for _ in 0..20 {
        assert!(login(server, NAME, "wrong").await.is_err());
        let mut ftp = TcpStream::connect(("127.0.0.1", server.port_of("ftp"))).unwrap();
        ftp.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let lines = format!("USER {NAME}\r\nPASS wrong\r\nQUIT\r\n");
        ftp.write_all(lines.as_bytes()).unwrap();
        let mut said = String::new();
        let _ = ftp.read_to_string(&mut said);
        if said.contains("421 ") {
            return;
        }
    }
    panic!("nobody is slowed");
}

#[test]
fn a_login_has_its_time() {
    let server = server_with(&[("sftp_login_timeout_s", "1")]);
    let mut silent = TcpStream::connect(("127.0.0.1", server.port_of("sftp"))).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut said = Vec::new();
    silent.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"SSH-2.0-filegrid\r\n");
    let mut slow = TcpStream::connect(("127.0.0.1", server.port_of("sftp"))).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    slow.write_all(b"SSH-2.0-slow\r\n").unwrap();
    // It ends, by a reset if the server has not read all.
    let _ = slow.read_to_end(&mut said);
    let mut sftp = Sftp::start(&server);
    #[allow(clippy::disallowed_methods, reason = "a deadline is let pass")]
    std::thread::sleep(Duration::from_millis(1500));
    sftp.put("/f", b"who is in stays in");
}

#[test]
fn who_asks_for_nothing_is_sent_away() {
    let server = server_with(&[
        ("sftp_login_timeout_s", "2"),
        ("sftp_idle_timeout_s", "1"),
        ("sftp_keepalive_s", "1"),
    ]);
    let mut sftp = Sftp::start(&server);
    let open = sftp.open("/f", PUT);
    assert_eq!(sftp.write(&open, 0, b"half"), OK);
    assert!(sftp.has_ended(), "signs of life are no requests");
    assert_eq!(server.get("/f").status, 404);
}

#[test]
fn a_session_ends_with_its_account_and_publishes_nothing() {
    let server = server();
    let joe = account(&server, "joe", "/", "RW");
    let mut anna = Sftp::start(&server);
    let mut sftp = Sftp::start_as(&server, "joe");
    let open = sftp.open("/f", PUT);
    assert_eq!(sftp.write(&open, 0, b"half"), OK);
    let change = json!({"Id": joe, "Enabled": false});
    let kind = [("Content-Type", "application/json")];
    let changed = server.request(
        &server.token,
        "PATCH",
        "/ftpaccounts",
        &kind,
        change.to_string().as_bytes(),
    );
    assert_eq!(changed.status, 200);
    assert!(sftp.has_ended());
    assert_eq!(server.get("/f").status, 404);
    anna.put("/g", b"others go on");
    assert!(runtime().block_on(login(&server, "joe", PASSWORD)).is_err());
}

#[test]
fn only_files_are_served() {
    let server = server();
    runtime().block_on(async {
        let session = login(&server, NAME, PASSWORD).await.unwrap();
        for command in ["ls", "sh -c 'id'", "/usr/lib/openssh/sftp-server"] {
            let mut channel = session.channel_open_session().await.unwrap();
            channel.exec(true, command).await.unwrap();
            let (mut said, mut code) = (Vec::new(), None);
            while let Some(message) = channel.wait().await {
                match message {
                    russh::ChannelMsg::ExtendedData { data, .. } => said.extend_from_slice(&data),
                    russh::ChannelMsg::ExitStatus { exit_status } => code = Some(exit_status),
                    _ => {}
                }
            }
            assert_eq!(code, Some(1));
            assert!(String::from_utf8(said).unwrap().contains("sftp"));
        }
        assert!(
            session
                .channel_open_direct_tcpip("127.0.0.1", 1, "127.0.0.1", 1)
                .await
                .is_err()
        );
        assert!(session.tcpip_forward("127.0.0.1", 0).await.is_err());
        let mut open = Vec::new();
        while let Ok(channel) = session.channel_open_session().await {
            open.push(channel);
        }
        assert_eq!(open.len(), 10);
        // Channels that have ended make room.
        let session = login(&server, NAME, PASSWORD).await.unwrap();
        for _ in 0..12 {
            let mut channel = session.channel_open_session().await.unwrap();
            channel.request_subsystem(true, "sftp").await.unwrap();
            channel.eof().await.unwrap();
            while channel.wait().await.is_some() {}
        }
    });
}

#[test]
fn host_keys_are_kept_over_a_restart() {
    let mut server = server();
    let fingerprints = |server: &Server| {
        let log = server.log();
        let lines = log.lines().filter_map(|line| line.split_once("fingerprint="));
        lines
            .map(|(_, fingerprint)| fingerprint.to_owned())
            .collect::<Vec<_>>()
    };
    let first = fingerprints(&server);
    assert_eq!(first.len(), 2);
    server.stop_and_restart();
    let both = fingerprints(&server);
    assert_eq!(both, [first.clone(), first].concat());
}
