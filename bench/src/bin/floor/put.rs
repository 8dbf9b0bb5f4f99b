//! PUT.

use std::fs::File;
use std::io::{Result, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::connection::{Buffer, respond, status_of};

/// Makes temporary names unique.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Takes a file and answers when it is written, or, if `durable`, when it is on the disk under its name.
pub(crate) fn serve(
    stream: &TcpStream,
    buffer: &mut Buffer,
    length: u64,
    path: &Path,
    durable: bool,
) -> Result<()> {
    let written_to = if durable { temporary(path) } else { path.to_owned() };
    let (mut file, mut stored) = match File::create(&written_to) {
        Ok(file) => (Some(file), Ok(())),
        Err(error) => (None, Err(error)),
    };
    let received = buffer.body(stream, length, |piece| {
        // The rest of a body that cannot be stored is read all the same, so that the client hears of it.
        if let (Some(file), Ok(())) = (&mut file, &stored) {
            stored = file.write_all(piece);
        }
        Ok(())
    });
    if let (Some(file), true, Ok(()), Ok(())) = (&file, durable, &stored, &received) {
        stored = publish(file, &written_to, path);
    }
    if file.is_some() && (stored.is_err() || received.is_err()) {
        std::fs::remove_file(&written_to)?;
    }
    received?;
    respond(stream, status_of(stored))
}

/// A name beside the file's own.
fn temporary(path: &Path) -> PathBuf {
    path.with_file_name(format!(".floor-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Brings the content to the disk, then the name.
fn publish(file: &File, from: &Path, path: &Path) -> Result<()> {
    file.sync_data()?;
    std::fs::rename(from, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}
