//! SCP as it was before it went over SFTP.

use russh::ChannelMsg;

use crate::client::{NAME, PASSWORD, account, login, runtime, server};
use crate::openssh::scp;
use crate::programs::{directory, run, well};
use crate::support::{Server, noise};

#[test]
fn openssh_both_ways() {
    let server = server();
    let at = directory(&server, "files");
    let bytes = noise(3_000_000, 4);
    std::fs::write(at.join("up"), &bytes).unwrap();
    std::fs::write(at.join("empty"), b"").unwrap();
    std::fs::create_dir_all(at.join("tree/below/a b")).unwrap();
    for n in 0..20 {
        std::fs::write(at.join(format!("tree/below/a b/f{n}")), noise(n * 999, n as u64)).unwrap();
    }
    let mut touch = std::process::Command::new("touch");
    well(&run(touch.args(["-d", "@1000000000", "up"]).current_dir(&at)).unwrap());
    let Some(output) = scp(&server, &["-O", "-p"], &["up", ":/x"]) else {
        return;
    };
    well(&output);
    assert_eq!(server.get("/x").body, bytes);
    let row = server.call("/api/list/tree", serde_json::json!({"Params": "/x"}));
    assert_eq!(row[0]["protocol"], "SCP");
    assert_eq!(row[0]["mtime"], 1_000_000_000_000_u64);
    well(&scp(&server, &["-O", "-p"], &[":/x", "down"]).unwrap());
    assert!(std::fs::read(at.join("down")).unwrap() == bytes);
    let time = std::fs::metadata(at.join("down")).unwrap().modified().unwrap();
    assert_eq!(
        time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
        1_000_000_000
    );
    well(&scp(&server, &["-O", "-r"], &["tree", "empty", ":/"]).unwrap());
    assert_eq!(server.get("/empty").body, b"");
    assert_eq!(server.get("/tree/below/a%20b/f19").body, noise(19 * 999, 19));
    well(&scp(&server, &["-O", "-r"], &["tree", ":/other"]).unwrap());
    assert_eq!(server.get("/other/below/a%20b/f7").body, noise(7 * 999, 7));
    well(&scp(&server, &["-O", "-r"], &[":/tree", "back"]).unwrap());
    well(&scp(&server, &["-O"], &[":/tree/below/a\\ b/f*", "back"]).unwrap());
    for n in 0..20 {
        let sent = noise(n * 999, n as u64);
        assert_eq!(
            std::fs::read(at.join(format!("back/below/a b/f{n}"))).unwrap(),
            sent
        );
        assert_eq!(std::fs::read(at.join(format!("back/f{n}"))).unwrap(), sent);
    }
    for refused in [
        [":/none", "none"],
        ["up", ":/none/x"],
        ["up", ":/tree/below/a b/f1/x"],
        [":/tree", "none"],
    ] {
        assert!(
            !scp(&server, &["-O"], &refused).unwrap().status.success(),
            "{refused:?}"
        );
    }
    account(&server, "joe", "/tree", "RO");
    let told = scp_as(&server, "joe", "scp -t /f", b"C0644 1 f\nx\0");
    assert_eq!(told.1, Some(1));
    assert_eq!(server.get("/tree/f").status, 404);
}

/// What the server says to bytes that a client of scp sends, and how it ends.
fn scp_as(server: &Server, name: &str, command: &str, bytes: &[u8]) -> (Vec<u8>, Option<u32>) {
    runtime().block_on(async {
        let session = login(server, name, PASSWORD).await.unwrap();
        let mut channel = session.channel_open_session().await.unwrap();
        channel.exec(true, command).await.unwrap();
        channel.data(bytes).await.unwrap();
        channel.eof().await.unwrap();
        let (mut said, mut code) = (Vec::new(), None);
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => said.extend_from_slice(&data),
                ChannelMsg::ExitStatus { exit_status } => code = Some(exit_status),
                _ => {}
            }
        }
        (said, code)
    })
}

#[test]
fn what_is_not_whole_is_not_published() {
    let server = server();
    server.put("/f", b"old");
    for cut in [
        "C0644 5 f",
        "C0644 5 f\n",
        "C0644 5 f\nabc",
        "C0644 5 f\nabcde",
        "C0644 5 f\nabcde\u{1}no\n",
    ] {
        let (_, code) = scp_as(&server, NAME, "scp -t /", cut.as_bytes());
        assert_eq!(code, Some(1), "{cut}");
        assert_eq!(server.get("/f").body, b"old", "{cut}");
    }
    let (said, code) = scp_as(&server, NAME, "scp -t /", b"T1 0 1 0\nC0644 5 f\nabcde\0");
    assert_eq!((said.as_slice(), code), ([0; 4].as_slice(), Some(0)));
    assert_eq!(server.get("/f").body, b"abcde");
}

#[test]
fn lines_that_are_none_and_names_elsewhere_end_it() {
    let server = server();
    account(&server, "joe", "/in", "RW");
    for lines in [
        "C0644 1 ../x\nx\0",
        "C0644 1 a/b\nx\0",
        "D0755 0 d\n",
        "E\n",
        "what\n",
        "C0644 99999999999999999999 x\n",
        &"x".repeat(10_000),
    ] {
        let (said, code) = scp_as(&server, "joe", "scp -t /", lines.as_bytes());
        assert_eq!(code, Some(1), "{lines}");
        assert!(said[1..].starts_with(b"\x02scp: "), "{said:?}");
    }
    let (said, code) = scp_as(&server, "joe", "scp -t ../../..", b"C0644 1 f\nx\0");
    assert_eq!((said.len(), code), (3, Some(0)));
    assert_eq!(server.get("/in/f").body, b"x");
    let deep = "D0755 0 d\n".repeat(100);
    let (_, code) = scp_as(&server, "joe", "scp -rt /", deep.as_bytes());
    assert_eq!(code, Some(0));
    assert_eq!(
        scp_as(&server, "joe", "scp -f /../f", b"\0\0\0").0,
        b"C0644 1 f\nx\0"
    );
}
