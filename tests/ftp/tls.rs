//! FTPS: explicit, implicit, required; sessions and farewells.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use crate::client::{Ftp, server, server_with};
use crate::support::noise;

#[test]
fn explicit_tls_carries_everything() {
    let server = server();
    let mut ftp = Ftp::connect(&server);
    ftp.secure(&server);
    assert!(ftp.try_login("anna"));
    for size in [0, 1000, 131_073, 3 << 20] {
        let bytes = noise(size, 5);
        ftp.upload(&format!("STOR {size}"), &bytes);
        assert!(ftp.download(&format!("RETR {size}")) == bytes, "{size}");
    }
    assert_eq!(ftp.listing("NLST").len(), 4);
    let entry = server.call("/api/list/tree", json!({"Params": "/1000"}))[0].clone();
    assert_eq!(entry["protocol"], "FTPS");
    // In the clear as well, where the client wants it.
    ftp.expect("PROT C", 200);
    ftp.protected = false;
    assert_eq!(ftp.download("RETR 1000"), noise(1000, 5));
    ftp.expect("CCC", 533);
    ftp.expect("AUTH TLS", 503);
    ftp.expect("PROT S", 536);
}

#[test]
fn implicit_tls_carries_everything() {
    let server = server();
    let mut ftp = Ftp::implicit(&server);
    assert!(ftp.try_login("anna"));
    ftp.upload("STOR a", b"implicit");
    assert_eq!(ftp.download("RETR a"), b"implicit");
    let mut plain = TcpStream::connect(("127.0.0.1", server.port_of("ftps"))).unwrap();
    plain.write_all(b"USER anna\r\n").unwrap();
    let mut text = String::new();
    plain.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("421 "), "{text}");
}

#[test]
fn tls_may_be_switched_off() {
    let server = server_with(&[("ftp_tls", "off")]);
    let mut ftp = Ftp::login(&server);
    ftp.expect("AUTH TLS", 502);
    assert!(!ftp.expect("FEAT", 211).contains("AUTH"));
}

#[test]
fn a_data_connection_may_have_to_resume_the_control_connections_session() {
    let server = server_with(&[("ftp_resumption_required", "true")]);
    let mut ftp = Ftp::connect(&server);
    ftp.secure(&server);
    assert!(ftp.try_login("anna"));
    ftp.upload("STOR a", b"resumed");
    assert_eq!(ftp.download("RETR a"), b"resumed");
    let own = ftp.tls.clone();
    let mut other = Ftp::connect(&server);
    other.secure(&server);
    ftp.tls = other.tls;
    let stream = ftp.passive();
    ftp.expect("RETR a", 150);
    let mut wire = ftp.wire(stream);
    ftp.expect_reply(522);
    assert_eq!(wire.read(&mut [0; 16]).unwrap_or(0), 0);
    ftp.tls = own;
    assert_eq!(ftp.download("RETR a"), b"resumed");
}

#[test]
fn an_upload_without_close_notify_is_refused_or_taken_as_configured() {
    for (required, code) in [("true", 426), ("false", 226)] {
        let server = server_with(&[("ftp_close_notify_required", required)]);
        let mut ftp = Ftp::connect(&server);
        ftp.secure(&server);
        assert!(ftp.try_login("anna"));
        let mut data = ftp.begin("STOR a");
        data.write_all(b"cut?").unwrap();
        data.flush().unwrap();
        let crate::wire::Wire::Secure(data) = data else {
            panic!()
        };
        // The stream is closed below TLS, which says nothing.
        drop(data.into_parts().1);
        let text = ftp.expect_reply(code);
        assert_eq!(
            server.get("/a").status,
            if code == 226 { 200 } else { 404 },
            "{text}"
        );
    }
}
