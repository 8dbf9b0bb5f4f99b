//! Uploads that break, and how they go on.

use crate::client::{CREATE, NO_SUCH_FILE, OK, PUT, READ, Sftp, TRUNCATE, WRITE, account, server, until};
use crate::support::noise;

use filegrid::sftp::fields::put_string;

#[test]
fn what_arrived_of_an_upload_that_broke_is_gone_on_with() {
    let mut server = server();
    account(&server, "joe", "/", "RW");
    let bytes = noise(700_000, 1);
    server.put("/f", b"old");
    let mut sftp = Sftp::start(&server);
    let open = sftp.open("/f", PUT);
    assert_eq!(sftp.write(&open, 0, &bytes[..200_000]), OK);
    assert_eq!(sftp.write(&open, 200_000, &bytes[200_000..400_000]), OK);
    sftp.drop_connection();
    let mut sftp = Sftp::start(&server);
    until(|| (sftp.stat("/f").unwrap().0 == 400_000).then_some(()));
    let mut joe = Sftp::start_as(&server, "joe");
    assert_eq!(joe.stat("/f").unwrap().0, 3, "others see the file");
    assert_eq!(server.get("/f").body, b"old");
    assert_eq!(sftp.get("/f"), b"old");
    server.stop_and_restart();
    let mut sftp = Sftp::start(&server);
    assert_eq!(sftp.stat("/f").unwrap().0, 400_000);
    let open = sftp.open("/f", WRITE | CREATE);
    assert_eq!(sftp.write(&open, 400_000, &bytes[400_000..600_000]), OK);
    assert_eq!(sftp.write(&open, 600_000, &bytes[600_000..]), OK);
    assert_eq!(sftp.close(&open), OK);
    assert_eq!(server.get("/f").body, bytes);
    assert_eq!(sftp.stat("/f").unwrap().0, 700_000);
}

#[test]
fn what_is_kept_is_no_file_to_whoever_writes_elsewhere() {
    let server = server();
    let mut sftp = Sftp::start(&server);
    sftp.put("/f", b"0123456789");
    let open = sftp.open("/f", PUT);
    assert_eq!(sftp.write(&open, 0, b"abcd"), OK);
    sftp.drop_connection();
    let mut sftp = Sftp::start(&server);
    until(|| (sftp.stat("/f").unwrap().0 == 4).then_some(()));
    // Not where it ends: the file is meant.
    let open = sftp.open("/f", WRITE);
    assert_eq!(sftp.write(&open, 2, b"xy"), OK);
    assert_eq!(sftp.close(&open), OK);
    assert_eq!(server.get("/f").body, b"01xy456789");
    assert_eq!(sftp.stat("/f").unwrap().0, 10, "it was bound to what was there");
}

#[test]
fn an_upload_begun_anew_ends_what_was_kept_and_so_does_removing() {
    let server = server();
    for how in ["again", "remove"] {
        let mut sftp = Sftp::start(&server);
        let open = sftp.open("/f", PUT);
        assert_eq!(sftp.write(&open, 0, b"half"), OK);
        sftp.drop_connection();
        let mut sftp = Sftp::start(&server);
        until(|| sftp.stat("/f").ok());
        if how == "again" {
            let open = sftp.open("/f", WRITE | CREATE | TRUNCATE);
            assert_eq!(sftp.close(&open), OK);
            assert_eq!(sftp.get("/f"), b"");
        }
        assert_eq!(sftp.path(13, "/f"), OK);
        assert_eq!(sftp.stat("/f"), Err(NO_SUCH_FILE));
        assert_eq!(sftp.try_open("/f", READ), Err(NO_SUCH_FILE));
    }
}

#[test]
fn what_was_synced_survives_a_kill() {
    let mut server = server();
    let bytes = noise(300_000, 3);
    let mut sftp = Sftp::start(&server);
    for (name, size) in [("/large", 300_000), ("/small", 1_000)] {
        let open = sftp.open(name, PUT);
        for (at, piece) in (0..).step_by(100_000).zip(bytes[..size].chunks(100_000)) {
            assert_eq!(sftp.write(&open, at, piece), OK);
        }
        let fsync = |sftp: &mut Sftp| {
            sftp.status(200, |out| {
                put_string(out, b"fsync@openssh.com");
                put_string(out, &open);
            })
        };
        assert_eq!(fsync(&mut sftp), OK);
        assert_eq!(fsync(&mut sftp), OK);
        assert_eq!(server.get(name).status, 404, "synced is not published");
    }
    server.kill_and_restart();
    let mut sftp = Sftp::start(&server);
    for (name, size) in [("/large", 300_000_usize), ("/small", 1_000)] {
        assert_eq!(sftp.stat(name).unwrap().0, size as u64);
        let open = sftp.open(name, WRITE);
        assert_eq!(sftp.write(&open, size as u64, b"more"), OK);
        assert_eq!(sftp.close(&open), OK);
        assert_eq!(server.get(name).body, [&bytes[..size], b"more"].concat());
    }
}

#[test]
fn a_file_that_was_synced_is_closed_like_any_other() {
    let server = server();
    let mut sftp = Sftp::start(&server);
    for size in [1_000_usize, 200_000] {
        let bytes = noise(size, 4);
        let open = sftp.open("/f", PUT);
        assert_eq!(sftp.write(&open, 0, &bytes), OK);
        for _ in 0..2 {
            let synced = sftp.status(200, |out| {
                put_string(out, b"fsync@openssh.com");
                put_string(out, &open);
            });
            assert_eq!(synced, OK);
        }
        assert_eq!(sftp.write(&open, size as u64, b"tail"), OK);
        assert_eq!(sftp.close(&open), OK);
        assert_eq!(server.get("/f").body, [&bytes[..], b"tail"].concat());
        assert_eq!(sftp.stat("/f").unwrap().0, size as u64 + 4);
    }
}
