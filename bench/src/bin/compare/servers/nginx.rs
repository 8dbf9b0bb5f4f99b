//! nginx, with its module for `PUT`. As it is, and with a buffer that holds 1 MiB of an upload in memory.

use loadtest::plan::{Directories, Store};

use super::process::{Process, configuration, free_address};
use super::programs::Program;
use super::{Door, FILES, Install, Kind, PEER, Place, Running, Service};

pub(super) fn usual() -> Kind {
    Kind {
        name: "nginx",
        speaks: &[Service::Http, Service::Https],
        install: Install::Unpack(&["nginx"]),
        version: || Program::find("nginx")?.version(&["-v"]),
        start: |place| start(place, "16k"),
        ..PEER
    }
}

pub(super) fn with_buffer() -> Kind {
    Kind {
        name: "nginx, 1 MiB buffer",
        start: |place| start(place, "1m"),
        ..usual()
    }
}

fn start(place: &Place, buffer: &str) -> Result<Running, String> {
    let files = place.files()?;
    let (http, https) = (free_address()?, free_address()?);
    let directory = place.directory.display();
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let settings = format!(
        "{user} daemon off; worker_processes auto; pid {directory}/pid; error_log {directory}/log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
         access_log off; sendfile on; tcp_nopush on; keepalive_requests 10000000; client_max_body_size 0;\n\
         client_body_buffer_size {buffer}; client_body_temp_path {directory}/bodies;\n\
         proxy_temp_path {directory}/t1; fastcgi_temp_path {directory}/t2; uwsgi_temp_path {directory}/t3; scgi_temp_path {directory}/t4;\n\
         server {{ listen {http}; listen {https} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
         location / {{ root {}; dav_methods PUT DELETE MKCOL; create_full_put_path on; }} }}\n\
         }}\n",
        place.certificate.display(),
        place.key.display(),
        files.display()
    );
    let settings = configuration(&place.directory, "nginx.conf", &settings)?;
    let mut command = Program::need("nginx")?.command();
    let mut process = Process::start(
        // What goes wrong before the settings are read goes to the log as well, not to a file of the system.
        command.arg("-e").arg("stderr").arg("-c").arg(settings),
        &place.directory,
    )?;
    process.wait_for_port(http)?;
    let access = place.http(Store::Put, Directories::Implied, None);
    let doors = vec![
        Door::new(Service::Http, &format!("http://{http}"), access.clone(), FILES)?,
        Door::new(Service::Https, &format!("https://{https}"), access, FILES)?,
    ];
    Ok(Running::new(process, doors, Some(files)))
}
