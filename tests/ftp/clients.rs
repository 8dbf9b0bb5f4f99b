//! Clients that people use.

use std::path::Path;
use std::process::Command;

use crate::client::{Ftp, NAME, PASSWORD, server, server_with};
use crate::programs::{directory, run, well};
use crate::support::{Server, noise};

/// A server that anna can log in to, at once.
fn ready() -> Server {
    let server = server();
    Ftp::login(&server);
    server
}

#[test]
fn pythons_ftplib() {
    let server = ready();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/ftp/client.py");
    for what in ["plain", "tls"] {
        let mut command = Command::new("python3");
        command.args([script, &server.port_of("ftp").to_string()]);
        command.arg(server.data().join("tls/self-made.pem")).arg(what);
        let Some(output) = run(&mut command) else { return };
        assert_eq!(well(&output), "done\n");
    }
}

fn joined<'a>(some: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [some, more].concat()
}

#[test]
fn curl() {
    let server = ready();
    let files = directory(&server, "files");
    let bytes = noise(300_000, 1);
    std::fs::write(files.join("up"), &bytes).unwrap();
    std::fs::write(files.join("half"), &bytes[..100_000]).unwrap();
    let up = files.join("up");
    let user = format!("{NAME}:{PASSWORD}");
    let pem = server.data().join("tls/self-made.pem");
    let curl = |scheme: &str, path: &str, args: &[&str]| {
        let port = server.port_of(if scheme == "ftps" { "ftps" } else { "ftp" });
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--cacert"])
            .arg(&pem)
            .args(["-u", &user])
            .args(args);
        command.arg(format!("{scheme}://localhost:{port}{path}"));
        run(&mut command)
    };
    let upload = up.to_str().unwrap();
    let down = files.join("down");
    let download = down.to_str().unwrap();
    for (scheme, args) in [
        ("ftp", vec![]),
        ("ftp", vec!["--ssl-reqd"]),
        ("ftps", vec![]),
        ("ftp", vec!["-P", "-"]),
        ("ftp", vec!["--disable-epsv", "--ftp-pasv"]),
        // Not --ssl-reqd with -P: curl 7.88 sends in the clear then, which is refused.
    ] {
        let Some(output) = curl(
            scheme,
            "/deep/er/file",
            &joined(&args, &["--ftp-create-dirs", "-T", upload]),
        ) else {
            return;
        };
        well(&output);
        well(&curl(scheme, "/deep/er/file", &joined(&args, &["-o", download])).unwrap());
        assert!(std::fs::read(&down).unwrap() == bytes, "{scheme} {args:?}");
        std::fs::copy(files.join("half"), &down).unwrap();
        well(
            &curl(
                scheme,
                "/deep/er/file",
                &joined(&args, &["-C", "-", "-o", download]),
            )
            .unwrap(),
        );
        assert!(std::fs::read(&down).unwrap() == bytes, "{scheme} {args:?} -C");
        let half = files.join("half");
        well(
            &curl(
                scheme,
                "/deep/er/resumed",
                &joined(&args, &["-T", half.to_str().unwrap()]),
            )
            .unwrap(),
        );
        well(
            &curl(
                scheme,
                "/deep/er/resumed",
                &joined(&args, &["-C", "-", "-T", upload]),
            )
            .unwrap(),
        );
        assert!(
            server.get("/deep/er/resumed").body == bytes,
            "{scheme} {args:?} -C -T"
        );
        well(
            &curl(
                scheme,
                "/deep/er/resumed",
                &joined(&args, &["-a", "-T", half.to_str().unwrap()]),
            )
            .unwrap(),
        );
        assert_eq!(server.get("/deep/er/resumed").body.len(), 400_000);
        let listed = well(&curl(scheme, "/deep/er/", &joined(&args, &["-l"])).unwrap());
        assert_eq!(listed.lines().collect::<Vec<_>>(), ["file", "resumed"]);
        well(
            &curl(
                scheme,
                "/",
                &joined(
                    &args,
                    &["-Q", "DELE /deep/er/resumed", "-Q", "DELE /deep/er/file"],
                ),
            )
            .unwrap(),
        );
    }
    assert_eq!(server.tree(), ["/", "/deep", "/deep/er"]);
}

#[test]
fn lftp_mirrors_both_ways() {
    let server = ready();
    let files = directory(&server, "files");
    make_files(&files);
    for (round, settings) in [
        "set ftp:ssl-allow no",
        "set ftp:ssl-force yes; set ftp:ssl-protect-data yes",
        "set ftp:ssl-allow no; set ftp:passive-mode no",
    ]
    .iter()
    .enumerate()
    {
        let copy = directory(&server, &format!("copy{round}"));
        let script = format!(
            "set ssl:ca-file {pem}; set cmd:fail-exit yes; set net:max-retries 2; {settings}; \
             open -u {NAME},'{PASSWORD}' ftp://localhost:{port}; \
             mirror -R --parallel=3 {files} /mirror{round}; mirror --parallel=3 /mirror{round} {copy}/m; \
             pget -n 3 /mirror{round}/big -o {copy}/big; cls /mirror{round}; rm -r /mirror{round}; bye",
            pem = server.data().join("tls/self-made.pem").display(),
            port = server.port_of("ftp"),
            files = files.display(),
            copy = copy.display(),
        );
        let mut command = Command::new("lftp");
        command.args(["--norc", "-c", &script]);
        let Some(output) = run(&mut command) else { return };
        well(&output);
        same_files(&files, &copy.join("m"));
        same(&files.join("big"), &copy.join("big"));
        assert_eq!(server.tree(), ["/"]);
    }
}

/// Names and sizes of the files of a mirror.
const FILES: [(&str, usize); 4] = [("a", 10), ("b c/d", 200_000), ("b c/é", 0), ("big", 3_000_000)];

fn make_files(directory: &Path) {
    for (name, size) in FILES {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, noise(size, size as u64)).unwrap();
    }
}

fn same_files(one: &Path, other: &Path) {
    for (name, _) in FILES {
        same(&one.join(name), &other.join(name));
    }
}

fn same(one: &Path, other: &Path) {
    assert!(
        std::fs::read(one).unwrap() == std::fs::read(other).unwrap(),
        "{}",
        other.display()
    );
}

#[test]
fn ncftp_puts_and_gets() {
    let server = ready();
    let files = directory(&server, "files");
    std::fs::write(files.join("one"), noise(50_000, 1)).unwrap();
    std::fs::write(files.join("two"), b"2").unwrap();
    let port = server.port_of("ftp").to_string();
    let login = ["-u", NAME, "-p", PASSWORD, "-P", &port];
    let mut put = Command::new("ncftpput");
    put.args(login).args(["-m", "-R", "127.0.0.1", "/in"]).arg(&files);
    let Some(output) = run(&mut put) else { return };
    well(&output);
    let name = files.file_name().unwrap().to_str().unwrap().to_owned();
    let copy = directory(&server, "copy");
    let mut get = Command::new("ncftpget");
    get.args(login)
        .args(["-R", "127.0.0.1"])
        .arg(&copy)
        .arg(format!("/in/{name}"));
    well(&run(&mut get).unwrap());
    same(&files.join("one"), &copy.join(&name).join("one"));
    same(&files.join("two"), &copy.join(&name).join("two"));
}

#[test]
fn rclone_copies_checks_and_moves() {
    let server = ready();
    let files = directory(&server, "files");
    make_files(&files);
    let Some(obscured) = run(Command::new("rclone").args(["obscure", PASSWORD])) else {
        return;
    };
    let obscured = well(&obscured);
    let pem = server.data().join("tls/self-made.pem");
    let copy = directory(&server, "copy");
    for (listener, security) in [
        ("ftp", None),
        ("ftp", Some("--ftp-explicit-tls")),
        ("ftps", Some("--ftp-tls")),
    ] {
        let rclone = |args: &[&str]| {
            let mut command = Command::new("rclone");
            command
                .env("RCLONE_CONFIG", "/dev/null")
                .args(args)
                .args(security);
            command.args(["--retries", "1", "--ftp-host", "localhost", "--ftp-user", NAME]);
            command.args(["--ftp-port", &server.port_of(listener).to_string()]);
            command
                .args(["--ftp-pass", obscured.trim()])
                .env("SSL_CERT_FILE", &pem);
            well(&run(&mut command).unwrap())
        };
        let (from, to) = (files.to_str().unwrap(), copy.to_str().unwrap());
        rclone(&["copy", from, ":ftp:in"]);
        rclone(&["check", "--download", from, ":ftp:in"]);
        // Nothing is sent again: sizes and times are what they were.
        let again = rclone(&["sync", "--dry-run", "--update", from, ":ftp:in"]);
        assert_eq!(again, "");
        rclone(&["move", ":ftp:in", to]);
        same_files(&files, &copy);
        rclone(&["purge", ":ftp:in"]);
        assert_eq!(server.tree(), ["/"], "{listener} {security:?}");
    }
}

#[test]
fn curl_over_ipv6() {
    let server = server_with(&[("ftp", "[::1]:0")]);
    let files = directory(&server, "files");
    let bytes = noise(300_000, 1);
    let (up, down) = (files.join("up"), files.join("down"));
    std::fs::write(&up, &bytes).unwrap();
    let url = format!("ftp://[::1]:{}/f", server.port_of("ftp"));
    let user = format!("{NAME}:{PASSWORD}");
    let curl = |args: &[&str], file: &Path| {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--retry", "3", "-u", &user])
            .args(args)
            .arg(file);
        run(command.arg(&url))
    };
    // EPSV, and EPRT.
    for args in [&[][..], &["-P", "-"][..]] {
        let Some(output) = curl(&joined(args, &["-T"]), &up) else {
            return;
        };
        well(&output);
        well(&curl(&joined(args, &["-o"]), &down).unwrap());
        same(&up, &down);
    }
}

#[test]
fn clients_work_where_tls_and_resumption_are_required() {
    let server = server_with(&[("ftp_tls", "required"), ("ftp_resumption_required", "true")]);
    let mut ftp = Ftp::connect(&server);
    ftp.secure(&server);
    assert!(ftp.try_login(NAME));
    let files = directory(&server, "files");
    std::fs::write(files.join("up"), noise(100_000, 1)).unwrap();
    let user = format!("{NAME}:{PASSWORD}");
    let url = format!("ftp://localhost:{}/up", server.port_of("ftp"));
    let mut command = Command::new("curl");
    command
        .args(["-sS", "--ssl-reqd", "--cacert"])
        .arg(server.data().join("tls/self-made.pem"));
    command.args(["-u", &user, "-T"]).arg(files.join("up")).arg(&url);
    let Some(output) = run(&mut command) else { return };
    well(&output);
    assert_eq!(server.get("/up").body.len(), 100_000);
}
