//! The rows of the comparison: what is done.

use loadtest::profile::Operation;

use crate::metric::Metric;
use crate::servers::Service;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What `--rows` names it by; no other has it.
    pub(crate) id: &'static str,
    /// Its heading.
    pub(crate) title: &'static str,
    /// What is done.
    pub(crate) work: Work,
    /// What servers are compared by, the most telling first.
    pub(crate) by: &'static [Metric],
    /// What else is shown.
    pub(crate) also: &'static [Metric],
    /// What ours is to reach.
    pub(crate) aims: &'static [(Metric, f64)],
    /// How many times better than the best peer ours is to be, in the first of what they are compared by.
    pub(crate) times: Option<f64>,
}

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Files are stored, fetched, or fetched as an archive.
    Transfer(Transfer),
    /// An archive is fetched from its middle on.
    Resume,
    /// All files of a tree are listed, over HTTP.
    Listing {
        /// How many.
        files: u64,
    },
    /// The time from the start of the process until its first door is open.
    StartUp,
    /// Memory when nobody is there.
    Idle,
    /// Memory with so many connections that have fetched files and stay open.
    Connections(Service, usize),
    /// Changes to three members of a metadata cluster.
    Proposals {
        /// Clients, one change at a time each.
        clients: usize,
    },
}

/// Transfers of files that are all alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    /// What is spoken.
    pub(crate) service: Service,
    /// What is done.
    pub(crate) operation: Operation,
    /// Bytes of a file.
    pub(crate) bytes: u64,
    /// How many files there are: what is fetched, or what an archive holds. Uploads make a new one each.
    pub(crate) files: u64,
    /// How many requests a round has.
    pub(crate) requests: u64,
    /// How many connections.
    pub(crate) connections: usize,
    /// The cipher of SSH.
    pub(crate) cipher: Option<&'static str>,
}

/// Columns of large files.
const LARGE_BY: &[Metric] = &[Metric::CpuPerGib, Metric::MibPerSecond];
const LARGE_ALSO: &[Metric] = &[Metric::CpuAfterPerGib, Metric::Memory];
/// Columns of small files.
const SMALL_BY: &[Metric] = &[Metric::RequestsPerSecond, Metric::CpuPerRequest];
const SMALL_ALSO: &[Metric] = &[
    Metric::CpuAfterPerRequest,
    Metric::P50,
    Metric::P99,
    Metric::Memory,
];

/// Small files that are fetched, over and over where there are more requests.
const FILES: u64 = 2_000;

const AES: &str = "aes128-gcm@openssh.com";
const CHACHA: &str = "chacha20-poly1305@openssh.com";

/// A row of files that are all alike, with the columns for their size.
fn transfer(id: &'static str, title: &'static str, of: Transfer, aims: &'static [(Metric, f64)]) -> Row {
    let is_large = of.bytes >= MIB;
    Row {
        id,
        title,
        work: Work::Transfer(of),
        by: if is_large { LARGE_BY } else { SMALL_BY },
        also: if is_large { LARGE_ALSO } else { SMALL_ALSO },
        aims,
        times: None,
    }
}

const fn of(
    service: Service,
    operation: Operation,
    bytes: u64,
    requests: u64,
    connections: usize,
) -> Transfer {
    Transfer {
        service,
        operation,
        bytes,
        files: if requests < FILES { requests } else { FILES },
        requests,
        connections,
        cipher: None,
    }
}

const fn ssh(
    operation: Operation,
    bytes: u64,
    files: u64,
    connections: usize,
    cipher: &'static str,
) -> Transfer {
    Transfer {
        cipher: Some(cipher),
        ..of(Service::Sftp, operation, bytes, files, connections)
    }
}

/// All rows, in the order in which they are measured and shown.
pub(crate) fn all() -> Vec<Row> {
    let mut rows = http();
    rows.extend(ftp());
    rows.extend(sftp());
    rows.extend(others());
    rows
}

/// Rows that show what it costs that files are on another node than the client has come to.
pub(crate) fn relayed() -> Vec<Row> {
    const IDS: [&str; 14] = [
        "http-upload-1g",
        "http-download-1g",
        "http-upload-4k",
        "http-download-4k",
        "https-upload-1g",
        "https-download-1g",
        "ftp-stor-1g",
        "ftp-retr-1g",
        "ftp-stor-4k",
        "ftp-retr-4k",
        "sftp-put-1g",
        "sftp-get-1g",
        "sftp-put-4k",
        "sftp-get-4k",
    ];
    let rows = all().into_iter().filter(|row| IDS.contains(&row.id));
    // What they aim at holds for a node by itself.
    rows.map(|row| Row { aims: &[], ..row }).collect()
}

fn http() -> Vec<Row> {
    use Metric::{CpuPerGib, CpuPerRequest, RequestsPerSecond};
    use Operation::{Archive, Download, Upload};
    use Service::{Http, Https};
    vec![
        transfer(
            "http-upload-1g",
            "HTTP upload of 1 GiB",
            of(Http, Upload, GIB, 1, 1),
            &[(CpuPerGib, 0.40)],
        ),
        transfer(
            "http-download-1g",
            "HTTP download of 1 GiB",
            of(Http, Download, GIB, 1, 1),
            &[(CpuPerGib, 0.18)],
        ),
        transfer(
            "http-upload-8",
            "HTTP upload of 8 × 128 MiB",
            of(Http, Upload, 128 * MIB, 8, 8),
            &[],
        ),
        transfer(
            "http-download-8",
            "HTTP download of 8 × 128 MiB",
            of(Http, Download, 128 * MIB, 8, 8),
            &[],
        ),
        transfer(
            "http-upload-4k",
            "HTTP upload of 4 KiB, 16 connections",
            of(Http, Upload, 4 * KIB, 10_000, 16),
            &[(RequestsPerSecond, 33_000.0), (CpuPerRequest, 22.0)],
        ),
        transfer(
            "http-upload-4k-64",
            "HTTP upload of 4 KiB, 64 connections",
            of(Http, Upload, 4 * KIB, 10_000, 64),
            &[(RequestsPerSecond, 55_000.0)],
        ),
        transfer(
            "http-upload-64k",
            "HTTP upload of 64 KiB, 16 connections",
            of(Http, Upload, 64 * KIB, 2_000, 16),
            &[(RequestsPerSecond, 17_000.0), (CpuPerRequest, 45.0)],
        ),
        transfer(
            "http-download-4k",
            "HTTP download of 4 KiB, 16 connections",
            of(Http, Download, 4 * KIB, 20_000, 16),
            &[(RequestsPerSecond, 85_000.0), (CpuPerRequest, 12.0)],
        ),
        transfer(
            "http-download-64k",
            "HTTP download of 64 KiB, 16 connections",
            of(Http, Download, 64 * KIB, 10_000, 16),
            &[(RequestsPerSecond, 33_000.0), (CpuPerRequest, 26.0)],
        ),
        transfer(
            "https-upload-1g",
            "HTTPS upload of 1 GiB",
            of(Https, Upload, GIB, 1, 1),
            &[(CpuPerGib, 0.75)],
        ),
        transfer(
            "https-download-1g",
            "HTTPS download of 1 GiB",
            of(Https, Download, GIB, 1, 1),
            &[(CpuPerGib, 0.60)],
        ),
        transfer(
            "archive",
            "archive of 1,000 files of 1 MiB, over HTTP",
            Transfer {
                files: 1_000,
                ..of(Http, Archive, MIB, 1, 1)
            },
            &[(CpuPerGib, 0.22)],
        ),
    ]
}

fn ftp() -> Vec<Row> {
    use Metric::{CpuPerGib, RequestsPerSecond};
    use Operation::{Download, Upload};
    use Service::{Ftp, Ftps};
    vec![
        transfer(
            "ftp-stor-1g",
            "FTP STOR of 1 GiB",
            of(Ftp, Upload, GIB, 1, 1),
            &[(CpuPerGib, 0.38)],
        ),
        transfer(
            "ftp-retr-1g",
            "FTP RETR of 1 GiB",
            of(Ftp, Download, GIB, 1, 1),
            &[(CpuPerGib, 0.18)],
        ),
        transfer(
            "ftp-stor-4k",
            "FTP STOR of 4 KiB, 16 sessions",
            of(Ftp, Upload, 4 * KIB, 2_000, 16),
            &[(RequestsPerSecond, 12_000.0)],
        ),
        transfer(
            "ftp-retr-4k",
            "FTP RETR of 4 KiB, 16 sessions",
            of(Ftp, Download, 4 * KIB, 2_000, 16),
            &[(RequestsPerSecond, 15_000.0)],
        ),
        transfer(
            "ftps-stor-1g",
            "FTPS STOR of 1 GiB",
            of(Ftps, Upload, GIB, 1, 1),
            &[(CpuPerGib, 0.75)],
        ),
        transfer(
            "ftps-retr-1g",
            "FTPS RETR of 1 GiB",
            of(Ftps, Download, GIB, 1, 1),
            &[(CpuPerGib, 0.50)],
        ),
        transfer(
            "ftps-stor-4k",
            "FTPS STOR of 4 KiB, 16 sessions",
            of(Ftps, Upload, 4 * KIB, 2_000, 16),
            &[],
        ),
        transfer(
            "ftps-retr-4k",
            "FTPS RETR of 4 KiB, 16 sessions",
            of(Ftps, Download, 4 * KIB, 2_000, 16),
            &[],
        ),
    ]
}

fn sftp() -> Vec<Row> {
    use Metric::{CpuPerGib, RequestsPerSecond};
    use Operation::{Download, Upload};
    vec![
        transfer(
            "sftp-put-1g",
            "SFTP put of 1 GiB, AES-128-GCM",
            ssh(Upload, GIB, 1, 1, AES),
            &[(CpuPerGib, 0.75)],
        ),
        transfer(
            "sftp-get-1g",
            "SFTP get of 1 GiB, AES-128-GCM",
            ssh(Download, GIB, 1, 1, AES),
            &[(CpuPerGib, 0.60)],
        ),
        transfer(
            "sftp-put-1g-chacha",
            "SFTP put of 1 GiB, ChaCha20-Poly1305",
            ssh(Upload, GIB, 1, 1, CHACHA),
            &[(CpuPerGib, 1.35)],
        ),
        transfer(
            "sftp-get-1g-chacha",
            "SFTP get of 1 GiB, ChaCha20-Poly1305",
            ssh(Download, GIB, 1, 1, CHACHA),
            &[(CpuPerGib, 1.15)],
        ),
        transfer(
            "sftp-put-64",
            "SFTP put of 64 × 16 MiB at a time, AES-128-GCM",
            ssh(Upload, 16 * MIB, 64, 64, AES),
            &[],
        ),
        transfer(
            "sftp-put-4k",
            "SFTP put of 4 KiB, one session, AES-128-GCM",
            ssh(Upload, 4 * KIB, 1_000, 1, AES),
            &[(RequestsPerSecond, 2_880.0)],
        ),
        transfer(
            "sftp-get-4k",
            "SFTP get of 4 KiB, one session, AES-128-GCM",
            ssh(Download, 4 * KIB, 1_000, 1, AES),
            &[(RequestsPerSecond, 1_760.0)],
        ),
        transfer(
            "sftp-put-4k-chacha",
            "SFTP put of 4 KiB, one session, ChaCha20-Poly1305",
            ssh(Upload, 4 * KIB, 1_000, 1, CHACHA),
            &[],
        ),
        transfer(
            "sftp-get-4k-chacha",
            "SFTP get of 4 KiB, one session, ChaCha20-Poly1305",
            ssh(Download, 4 * KIB, 1_000, 1, CHACHA),
            &[],
        ),
    ]
}

fn others() -> Vec<Row> {
    use Metric::{
        CpuPerGib, CpuPerRequest, CpuSeconds, Memory, MibPerSecond, P50, P99, RequestsPerSecond, Seconds,
    };
    let proposals = |id, title, clients, times| Row {
        id,
        title,
        work: Work::Proposals { clients },
        by: &[RequestsPerSecond, CpuPerRequest],
        also: &[P50, P99],
        aims: &[],
        times: Some(times),
    };
    let memory = |id, title, service| Row {
        id,
        title,
        work: Work::Connections(service, 1_000),
        by: &[Memory],
        also: &[],
        aims: &[],
        times: None,
    };
    vec![
        Row {
            id: "resume",
            title: "the second half of that archive",
            work: Work::Resume,
            by: &[CpuPerGib, MibPerSecond],
            also: &[],
            aims: &[],
            times: None,
        },
        Row {
            id: "listing",
            title: "a recursive listing of 1,000,000 files",
            work: Work::Listing { files: 1_000_000 },
            by: &[Seconds, CpuSeconds],
            also: &[MibPerSecond, Memory],
            aims: &[(Seconds, 1.0)],
            times: None,
        },
        Row {
            id: "start",
            title: "from the start to the first answer, with an empty directory",
            work: Work::StartUp,
            by: &[Seconds],
            also: &[CpuSeconds],
            aims: &[],
            times: None,
        },
        Row {
            id: "idle",
            title: "memory with nothing to do",
            work: Work::Idle,
            by: &[Memory],
            also: &[],
            aims: &[],
            times: None,
        },
        memory(
            "connections-http",
            "memory with 1,000 open connections of HTTP",
            Service::Http,
        ),
        memory(
            "connections-sftp",
            "memory with 1,000 open sessions of SFTP",
            Service::Sftp,
        ),
        proposals("proposals-1", "proposals to three members, 1 client", 1, 2.0),
        proposals("proposals-64", "proposals to three members, 64 clients", 64, 3.0),
        proposals(
            "proposals-256",
            "proposals to three members, 256 clients",
            256,
            3.0,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_apart_and_have_what_they_aim_at() {
        let rows = all();
        let ids: std::collections::HashSet<_> = rows.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), rows.len());
        for row in rows {
            assert!(
                row.aims.iter().all(|(metric, _)| row.by.contains(metric)),
                "{}",
                row.id
            );
        }
    }
}
