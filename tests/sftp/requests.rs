//! The requests one by one.

use filegrid::sftp::fields::{Fields, put_string, put_u32, put_u64};

use crate::client::{
    APPEND, BAD_MESSAGE, CREATE, DENIED, EOF, EXCLUSIVE, FAILURE, NO_SUCH_FILE, OK, PUT, READ, Sftp,
    TRUNCATE, UNSUPPORTED, WRITE, account, server,
};
use crate::support::noise;

#[test]
fn a_file_is_there_when_it_is_closed_and_not_before() {
    let server = server();
    let mut sftp = Sftp::start(&server);
    sftp.put("/f", b"old");
    let bytes = noise(400_000, 1);
    let open = sftp.open("/f", PUT);
    for (at, piece) in (0..).step_by(100_000).zip(bytes.chunks(100_000)) {
        assert_eq!(sftp.write(&open, at, piece), OK);
    }
    assert_eq!(sftp.fstat(&open).unwrap().0, 400_000);
    assert_eq!(server.get("/f").body, b"old");
    assert_eq!(sftp.close(&open), OK);
    assert_eq!(server.get("/f").body, bytes);
    assert_eq!(sftp.get("/f"), bytes);
    assert_eq!(sftp.close(&open), FAILURE, "the handle is no more");
    let tree = server.call("/api/list/tree", serde_json::json!({"Params": "/f"}));
    assert_eq!(tree[0]["protocol"], "SFTP");
}

#[test]
fn flags_of_open_mean_what_they_say() {
    let server = server();
    let mut sftp = Sftp::start(&server);
    assert_eq!(sftp.try_open("/f", READ), Err(NO_SUCH_FILE));
    assert_eq!(sftp.try_open("/f", WRITE), Err(NO_SUCH_FILE));
    assert_eq!(sftp.try_open("/none/f", PUT), Err(NO_SUCH_FILE));
    let open = sftp.open("/f", WRITE | CREATE | EXCLUSIVE);
    assert_eq!(sftp.close(&open), OK);
    assert_eq!(sftp.get("/f"), b"");
    assert_eq!(sftp.try_open("/f", WRITE | CREATE | EXCLUSIVE), Err(FAILURE));
    sftp.put("/f", b"0123456789");
    let open = sftp.open("/f", WRITE);
    assert_eq!(sftp.write(&open, 3, b"abc"), OK);
    assert_eq!(sftp.close(&open), OK);
    assert_eq!(sftp.get("/f"), b"012abc6789");
    let open = sftp.open("/f", WRITE | APPEND);
    assert_eq!(sftp.write(&open, 0, b"+"), OK);
    assert_eq!(sftp.write(&open, 0, b"-"), OK);
    assert_eq!(sftp.close(&open), OK);
    assert_eq!(sftp.get("/f"), b"012abc6789+-");
    let open = sftp.open("/f", WRITE | TRUNCATE);
    assert_eq!(sftp.close(&open), OK);
    assert_eq!(sftp.get("/f"), b"");
    assert_eq!(sftp.path(14, "/d"), OK);
    assert_eq!(sftp.try_open("/d", READ), Err(FAILURE));
    assert_eq!(sftp.try_open("/d", PUT), Err(FAILURE));
    assert_eq!(sftp.try_open("/f/x", PUT), Err(FAILURE));
    assert_eq!(sftp.try_open("/", PUT), Err(FAILURE));
    // Opened and closed, nothing was done.
    let open = sftp.open("/f", WRITE);
    let before = server.call("/api/list/tree", serde_json::json!({"Params": "/f"}));
    assert_eq!(sftp.close(&open), OK);
    assert_eq!(
        server.call("/api/list/tree", serde_json::json!({"Params": "/f"})),
        before
    );
}

#[test]
fn writes_may_come_in_any_order() {
    let server = server();
    let mut sftp = Sftp::start(&server);
    let bytes = noise(1_000_000, 2);
    let open = sftp.open("/f", PUT);
    let pieces: Vec<_> = (0_u64..).step_by(3_000).zip(bytes.chunks(3_000)).collect();
    // Backwards, and every one of them twice.
    for (at, piece) in pieces.iter().rev() {
        assert_eq!(sftp.write(&open, *at, &vec![0; piece.len()]), OK);
        assert_eq!(sftp.write(&open, *at, piece), OK);
    }
    assert_eq!(sftp.close(&open), OK);
    assert_eq!(sftp.get("/f"), bytes);
    // On top of what is there, and read back in between.
    let open = sftp.open("/f", READ | WRITE);
    let mut expected = bytes;
    for n in 0..40_usize {
        let at = n * 20_011;
        let piece = noise(500 + n, n as u64);
        expected[at..at + piece.len()].copy_from_slice(&piece);
        assert_eq!(sftp.write(&open, at as u64, &piece), OK);
        let read = sftp.read(&open, at as u64 - 10.min(at) as u64, 2_000).unwrap();
        assert_eq!(read[..], expected[at - 10.min(at)..][..read.len()]);
        assert!(read.len() > 500);
    }
    assert_eq!(sftp.close(&open), OK);
    assert_eq!(sftp.get("/f"), expected);
    assert_eq!(server.get("/f").body, expected);
}

#[test]
fn what_nobody_writes_is_zero() {
    let server = server();
    let mut sftp = Sftp::start(&server);
    let open = sftp.open("/f", PUT);
    assert_eq!(sftp.write(&open, 300_000, b"end"), OK);
    assert_eq!(sftp.write(&open, u64::MAX - 1, b"far"), FAILURE);
    assert_eq!(sftp.write(&open, 1 << 40, b"far"), FAILURE);
    assert_eq!(sftp.close(&open), OK);
    let bytes = sftp.get("/f");
    assert_eq!(bytes.len(), 300_003);
    assert!(bytes[..300_000].iter().all(|byte| *byte == 0) && bytes.ends_with(b"end"));
    let resize = |sftp: &mut Sftp, size: u64| {
        sftp.status(9, |out| {
            put_string(out, b"/f");
            put_u32(out, 1);
            put_u64(out, size);
        })
    };
    assert_eq!(resize(&mut sftp, 300_001), OK);
    assert_eq!(sftp.get("/f").last(), Some(&b'e'));
    assert_eq!(resize(&mut sftp, 300_010), OK);
    assert!(sftp.get("/f").ends_with(b"\0e\0\0\0\0\0\0\0\0\0"));
    assert_eq!(resize(&mut sftp, 0), OK);
    assert_eq!(sftp.get("/f"), b"");
    assert_eq!(resize(&mut sftp, 1 << 50), FAILURE);
}

#[test]
fn names_and_directories() {
    let server = server();
    let mut sftp = Sftp::start(&server);
    assert_eq!(sftp.path(14, "/d"), OK);
    assert_eq!(sftp.path(14, "/d"), FAILURE);
    assert_eq!(sftp.path(14, "/none/d"), NO_SUCH_FILE);
    sftp.put("/d/é ü", b"1");
    assert_eq!(sftp.list("d").0, [".", "..", "é ü"]);
    assert_eq!(sftp.path(15, "/d"), FAILURE, "not empty");
    assert_eq!(sftp.path(13, "/d"), FAILURE, "a directory");
    assert_eq!(sftp.path(15, "/d/é ü"), FAILURE, "a file");
    let rename = |sftp: &mut Sftp, from: &str, to: &str| {
        sftp.status(18, |out| {
            put_string(out, from.as_bytes());
            put_string(out, to.as_bytes());
        })
    };
    let replace = |sftp: &mut Sftp, from: &str, to: &str| {
        sftp.status(200, |out| {
            put_string(out, b"posix-rename@openssh.com");
            put_string(out, from.as_bytes());
            put_string(out, to.as_bytes());
        })
    };
    assert_eq!(rename(&mut sftp, "/d/é ü", "/d/b"), OK);
    sftp.put("/d/a", b"2");
    assert_eq!(rename(&mut sftp, "/d/a", "/d/b"), FAILURE, "it is there");
    assert_eq!(replace(&mut sftp, "/d/a", "/d/b"), OK);
    assert_eq!(sftp.get("/d/b"), b"2");
    assert_eq!(rename(&mut sftp, "/d", "/d/e"), FAILURE);
    assert_eq!(rename(&mut sftp, "/none", "/x"), NO_SUCH_FILE);
    assert_eq!(rename(&mut sftp, "/", "/x"), DENIED);
    assert_eq!(sftp.path(13, "/d/b"), OK);
    assert_eq!(sftp.path(13, "/d/b"), NO_SUCH_FILE);
    assert_eq!(sftp.path(15, "/d"), OK);
    assert_eq!(sftp.path(15, "/"), DENIED);
    for kind in [19, 20] {
        let refused = sftp.status(kind, |out| {
            put_string(out, b"/a");
            put_string(out, b"/b");
        });
        assert_eq!(refused, UNSUPPORTED);
    }
    let long = "x".repeat(256);
    assert_eq!(sftp.try_open(&long, PUT), Err(FAILURE));
    assert_eq!(sftp.path(13, "a\0b"), FAILURE);
    let (kind, reply) = sftp.ask(17, |out| put_string(out, b"/\xff"));
    let mut fields = Fields::new(&reply);
    assert_eq!((kind, fields.u32()), (101, Ok(FAILURE)));
    assert!(String::from_utf8_lossy(fields.string().unwrap()).contains("UTF-8"));
    for (path, real) in [("", "/"), (".", "/"), ("a/../../b/", "/b"), ("/x//y/.", "/x/y")] {
        let (kind, reply) = sftp.ask(16, |out| put_string(out, path.as_bytes()));
        assert_eq!(kind, 104);
        assert_eq!(
            Fields::new(&reply[4..]).string().unwrap(),
            real.as_bytes(),
            "{path}"
        );
    }
}

#[test]
fn a_directory_comes_in_pages_as_it_was() {
    let server = server();
    let mut files: Vec<_> = (0..2_000)
        .map(|n| format!("name-that-is-not-short-{n:04}"))
        .collect();
    let parts: Vec<_> = files
        .iter()
        .map(|name| ("f", name.as_str(), b"x".as_slice()))
        .collect();
    assert_eq!(server.upload(&parts, None).status, 200);
    let mut sftp = Sftp::start(&server);
    let (kind, reply) = sftp.ask(11, |out| put_string(out, b"/"));
    assert_eq!(kind, 102);
    let open = Fields::new(&reply).string().unwrap().to_vec();
    sftp.put("/zzz", b"later");
    let (names, pages) = sftp.list("/");
    assert_eq!(names.len(), 2_003);
    assert!(pages > 3, "{pages}");
    let mut seen = 0;
    while let (104, reply) = sftp.ask(12, |out| put_string(out, &open)) {
        seen += Fields::new(&reply).u32().unwrap();
    }
    assert_eq!(seen, 2_002, "what came later is not in it");
    files.sort();
    assert_eq!(names[2..2_002], files);
}

#[test]
fn an_account_sees_its_root_and_does_what_it_may() {
    let server = server();
    server.put("/in/of-joe", b"joe");
    server.put("/secret", b"s");
    account(&server, "joe", "/in", "RO");
    let mut sftp = Sftp::start_as(&server, "joe");
    assert_eq!(sftp.get("/of-joe"), b"joe");
    for path in ["/secret", "/../secret", "../../secret", "/in/of-joe"] {
        assert_eq!(sftp.try_open(path, READ), Err(NO_SUCH_FILE), "{path}");
        assert_eq!(sftp.stat(path), Err(NO_SUCH_FILE), "{path}");
    }
    assert_eq!(sftp.list("/..").0, [".", "..", "of-joe"]);
    for flags in [PUT, WRITE, READ | WRITE, READ | CREATE, READ | TRUNCATE, APPEND] {
        assert_eq!(sftp.try_open("/of-joe", flags), Err(DENIED), "{flags}");
        assert_eq!(sftp.try_open("/new", flags), Err(DENIED), "{flags}");
    }
    assert_eq!(sftp.path(14, "/d"), DENIED);
    assert_eq!(sftp.path(13, "/of-joe"), DENIED);
    assert_eq!(sftp.path(15, "/of-joe"), DENIED);
    for (kind, name) in [(18, ""), (200, "posix-rename@openssh.com")] {
        let refused = sftp.status(kind, |out| {
            if !name.is_empty() {
                put_string(out, name.as_bytes());
            }
            put_string(out, b"/of-joe");
            put_string(out, b"/x");
        });
        assert_eq!(refused, DENIED);
    }
    for flags in [1_u32, 8] {
        let refused = sftp.status(9, |out| {
            put_string(out, b"/of-joe");
            put_u32(out, flags);
            put_u64(out, 0);
        });
        assert_eq!(refused, DENIED);
    }
    let open = sftp.open("/of-joe", READ);
    let refused = sftp.status(10, |out| {
        put_string(out, &open);
        put_u32(out, 8);
        put_u64(out, 0);
    });
    assert_eq!(refused, DENIED);
    assert_eq!(server.get("/in/of-joe").body, b"joe");
    // A root that nobody has put anything into is there.
    account(&server, "eve", "/of/eve", "RW");
    let mut sftp = Sftp::start_as(&server, "eve");
    assert_eq!(sftp.list("/").0, [".", ".."]);
    assert!(sftp.stat("/").is_ok());
    sftp.put("f", b"1");
    assert_eq!(server.get("/of/eve/f").body, b"1");
}

#[test]
fn times_are_kept_and_modes_are_not() {
    let server = server();
    let mut sftp = Sftp::start(&server);
    let open = sftp.open("/f", PUT);
    let set = |out: &mut Vec<u8>| {
        put_u32(out, 2 | 4 | 8);
        put_u64(out, 77);
        put_u32(out, 0o777);
        put_u32(out, 5);
        put_u32(out, 1_000_000);
    };
    let done = sftp.status(10, |out| {
        put_string(out, &open);
        set(out);
    });
    assert_eq!(done, OK);
    assert_eq!(sftp.close(&open), OK);
    assert_eq!(sftp.stat("/f"), Ok((0, 1_000_000)));
    sftp.put("/f", b"1");
    assert!(sftp.stat("/f").unwrap().1 > 1_000_000);
    for (kind, name) in [(9, ""), (200, "lsetstat@openssh.com")] {
        let done = sftp.status(kind, |out| {
            if !name.is_empty() {
                put_string(out, name.as_bytes());
            }
            put_string(out, b"/f");
            set(out);
        });
        assert_eq!(done, OK);
        assert_eq!(sftp.stat("/f"), Ok((1, 1_000_000)));
    }
    let missing = sftp.status(9, |out| {
        put_string(out, b"/none");
        set(out);
    });
    assert_eq!(missing, NO_SUCH_FILE);
}

#[test]
fn requests_that_are_none_are_answered() {
    let server = server();
    let mut sftp = Sftp::start(&server);
    assert_eq!(sftp.status(77, |_| {}), UNSUPPORTED);
    assert_eq!(sftp.status(3, |out| put_string(out, b"/f")), BAD_MESSAGE);
    assert_eq!(
        sftp.status(200, |out| put_string(out, b"what@example.com")),
        UNSUPPORTED
    );
    assert_eq!(sftp.read(&vec![1; 8], 0, 1), Err(FAILURE));
    assert_eq!(sftp.read(&vec![1; 300], 0, 1), Err(FAILURE));
    let open = sftp.open("/f", PUT);
    assert_eq!(
        sftp.status(12, |out| put_string(out, &open)),
        FAILURE,
        "no directory"
    );
    assert_eq!(sftp.close(&open), OK);
    let open = sftp.open("/f", READ);
    assert_eq!(sftp.write(&open, 0, b"x"), FAILURE);
    assert_eq!(sftp.read(&open, 0, 10), Err(EOF));
    assert_eq!(sftp.read(&open, u64::MAX, u32::MAX), Err(EOF));
}
