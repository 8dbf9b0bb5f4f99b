//! What cameras and scanners do.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use crate::client::{Ftp, secure, server, server_with};
use crate::support::noise;
use crate::wire::Wire;

/// A listener, after PORT: the form without IPv6 that such devices know.
fn port(ftp: &mut Ftp) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    ftp.expect(&format!("PORT 127,0,0,1,{},{}", port >> 8, port & 255), 200);
    listener
}

/// One picture: under a name of its own, and renamed when it is whole.
fn picture(ftp: &mut Ftp, name: &str, bytes: &[u8]) {
    let listener = port(ftp);
    ftp.expect(&format!("STOR {name}.tmp"), 150);
    let stream = listener.accept().unwrap().0;
    match &ftp.tls {
        Some(config) if ftp.protected => {
            let Wire::Secure(mut data) = secure(stream, config) else {
                panic!("not TLS")
            };
            data.write_all(bytes).unwrap();
            data.flush().unwrap();
            // The stream is closed below TLS: no last word.
            drop(data.into_parts().1);
        }
        _ => {
            (&stream).write_all(bytes).unwrap();
            drop(stream);
        }
    }
    ftp.expect_reply(226);
    ftp.expect(&format!("RNFR {name}.tmp"), 350);
    ftp.expect(&format!("RNTO {name}"), 250);
}

fn evening(ftp: &mut Ftp) {
    ftp.expect("SYST", 215);
    ftp.expect("TYPE I", 200);
    assert!(ftp.expect("XPWD", 257).contains("\"/\""));
    ftp.expect("XMKD cam1", 257);
    ftp.expect("CWD cam1", 250);
    ftp.expect("XMKD 2026-11-25", 257);
    ftp.expect("CWD 2026-11-25", 250);
    for number in 0..3 {
        picture(ftp, &format!("{number}.jpg"), &noise(100_000, number));
    }
    // The last one again: it takes the place of the other.
    picture(ftp, "2.jpg", b"again");
    ftp.expect("XCUP", 250);
    let listener = port(ftp);
    ftp.expect("NLST 2026-11-25", 150);
    let mut names = String::new();
    listener.accept().unwrap().0.read_to_string(&mut names).unwrap();
    ftp.expect_reply(226);
    let names: Vec<_> = names
        .lines()
        .map(|name| name.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["0.jpg", "1.jpg", "2.jpg"]);
    ftp.expect("XCUP", 250);
    ftp.expect("QUIT", 221);
}

#[test]
fn a_camera_in_the_clear() {
    let server = server();
    evening(&mut Ftp::login(&server));
    assert_eq!(server.get("/cam1/2026-11-25/0.jpg").body, noise(100_000, 0));
    assert_eq!(server.get("/cam1/2026-11-25/2.jpg").body, b"again");
    assert_eq!(server.tree().len(), 6);
}

#[test]
fn a_camera_whose_tls_ends_without_a_last_word() {
    let server = server_with(&[("ftp_close_notify_required", "false"), ("ftp_tls", "required")]);
    let mut ftp = Ftp::connect(&server);
    ftp.secure(&server);
    assert!(ftp.try_login("anna"));
    ftp.expect("MKD cam", 257);
    ftp.expect("CWD cam", 250);
    picture(&mut ftp, "small", b"few");
    // Larger than what is read at a time, and than what is kept in the log.
    let bytes = noise(3_000_000, 1);
    picture(&mut ftp, "large", &bytes);
    assert_eq!(server.get("/cam/small").body, b"few");
    assert!(server.get("/cam/large").body == bytes);
}
