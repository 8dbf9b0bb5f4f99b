//! The state of the whole cluster into a file, and back.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use filegrid_meta::backup::{self, BackupError, BackupReader, BackupWriter, Header};
use filegrid_meta::config;
use filegrid_meta::machine::chunk;
use filegrid_meta::operators::{BACKUP_BEGIN, BACKUP_ROWS, BackupBegun, BackupPiece};
use filegrid_meta::wire::{Destination, Method};
use serde_json::json;

use crate::operator::{Operator, unreadable};
use crate::report::Report;

/// How long a member may take for a piece of a backup.
const PIECE_PATIENCE_S: u64 = 60;

impl Operator {
    /// Writes the state of the cluster, as it is now, to a file that is not there yet.
    ///
    /// # Crash
    ///
    /// The file is there when it is whole and durable, or not at all.
    ///
    /// # Errors
    ///
    /// A text that says why not.
    pub async fn backup(&self, file: &Path) -> Result<Report, String> {
        refuse_existing(file)?;
        let (member, begun) = self.begin_backup().await?;
        let mut name = file.file_name().ok_or("it names no file")?.to_owned();
        name.push(".part");
        let part = file.with_file_name(name);
        let rows = self.write_backup(&member, &begun, &part).await;
        let rows = rows.and_then(|rows| publish(&part, file).map(|()| rows));
        if rows.is_err() {
            // What is left of it is of no use; if it stays, the next one takes its place.
            let _ = std::fs::remove_file(&part);
        }
        let rows = rows.map_err(|why| format!("{}: {why}", file.display()))?;
        let mut report = about(file, &begun.header, rows);
        report.text += "It holds the keys that sign tokens and hashes of all secrets: keep it from others\n";
        Ok(report)
    }

    async fn begin_backup(&self) -> Result<(Destination, BackupBegun), String> {
        let mut whys = Vec::new();
        for member in &self.settings.members {
            match self.piece(member, BACKUP_BEGIN, Bytes::new()).await {
                Ok(answer) => {
                    let begun = serde_json::from_slice(&answer).map_err(|error| unreadable(&error))?;
                    return Ok((member.clone(), begun));
                }
                Err(why) => whys.push(format!("member {}: {why}", member.member)),
            }
        }
        Err(whys.join("; "))
    }

    async fn write_backup(
        &self,
        member: &Destination,
        begun: &BackupBegun,
        part: &Path,
    ) -> Result<u64, String> {
        let failed = |error: BackupError| error.to_string();
        let mut how = OpenOptions::new();
        let how = how.create(true).truncate(true).write(true).mode(0o600);
        let to = BufWriter::with_capacity(1 << 20, how.open(part).map_err(|error| error.to_string())?);
        let mut writer = BackupWriter::begin(to, &begun.header).map_err(failed)?;
        for piece in 0.. {
            let number = begun.number;
            let asked = BackupPiece { number, piece }.write();
            let mut answer = self.piece(member, BACKUP_ROWS, asked).await?;
            let rows = chunk::get(&mut answer).ok_or_else(|| unreadable(&"its rows"))?;
            if rows.is_empty() {
                break;
            }
            writer.put(&rows).map_err(failed)?;
        }
        let (rows, to) = writer.end().map_err(failed)?;
        let file = to.into_inner().map_err(|error| error.to_string())?;
        file.sync_all().map_err(|error| error.to_string())?;
        Ok(rows)
    }

    async fn piece(&self, member: &Destination, method: Method, body: Bytes) -> Result<Bytes, String> {
        let patience = Duration::from_secs(PIECE_PATIENCE_S);
        let asked = self.client.call_member(member, method, body);
        match tokio::time::timeout(patience, asked).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err("it does not answer".to_owned()),
        }
    }
}

/// Reads what was written once more, and gives it its name.
fn publish(part: &Path, file: &Path) -> Result<(), String> {
    read_all(part).map_err(|error| error.to_string())?;
    refuse_existing(file)?;
    let published = std::fs::rename(part, file).and_then(|()| {
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    });
    published.map_err(|error| error.to_string())
}

fn refuse_existing(file: &Path) -> Result<(), String> {
    match file.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(format!("{} is there already and is not replaced", file.display())),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

fn read_all(file: &Path) -> Result<(Header, u64), BackupError> {
    let reader = BackupReader::open(BufReader::with_capacity(1 << 20, File::open(file)?))?;
    let header = reader.header().clone();
    Ok((header, reader.verify()?))
}

/// Reads a backup and says whether it is whole.
///
/// # Errors
///
/// If it is not: what is wrong.
pub fn verify(file: &Path) -> Result<Report, String> {
    let (header, rows) = read_all(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(about(file, &header, rows))
}

/// Makes a member's directory from a backup, for a cluster of `members`.
///
/// # Errors
///
/// A text that says why not. Nothing that is there is replaced.
pub fn restore(file: &Path, data: &Path, members: &[String]) -> Result<Report, String> {
    let members = config::members(members)?;
    let members: BTreeMap<_, _> = members.into_iter().map(|of| (of.member, of.address)).collect();
    let data = std::path::absolute(data).map_err(|error| format!("{}: {error}", data.display()))?;
    let header = backup::restore(file, &data, &members)
        .map_err(|error| format!("{} into {}: {error}", file.display(), data.display()))?;
    let ids: Vec<_> = members.keys().collect();
    let text = format!(
        "made {} from a backup of cluster {}, {} entries applied, {}\nStart the member on it; each of the members {ids:?} is \
         made like this, from the same file\n",
        data.display(),
        header.cluster,
        header.applied,
        taken(&header),
    );
    let json = json!({
        "data": data, "members": ids, "cluster": header.cluster, "applied": header.applied, "takenMs": header.taken_ms,
    });
    Ok(Report::new(text, json))
}

fn about(file: &Path, header: &Header, rows: u64) -> Report {
    let text = format!(
        "{}: cluster {}, {} entries applied, {rows} rows, {}\n",
        file.display(),
        header.cluster,
        header.applied,
        taken(header)
    );
    let json = json!({
        "file": PathBuf::from(file), "cluster": header.cluster, "applied": header.applied, "rows": rows,
        "takenMs": header.taken_ms,
    });
    Report::new(text, json)
}

/// When a backup was taken: RFC 3339, in UTC.
fn taken(header: &Header) -> String {
    let seconds = header.taken_ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date_of(days);
    format!(
        "taken {year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// The Gregorian date of a day since 1970-01-01. Years are counted from March on, so that the day that some years have more is
/// their last.
fn date_of(days: i64) -> (i64, i64, i64) {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    // 0000-03-01 is 719,468 days before 1970-01-01.
    let days = days + 719_468;
    let (era, day) = (
        days.div_euclid(DAYS_OF_400_YEARS),
        days.rem_euclid(DAYS_OF_400_YEARS),
    );
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let first = (153 * month + 2) / 5;
    let (month_of_year, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + next, month_of_year, day - first + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_787, (2026, 11, 30)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date_of(days), date, "{days}");
        }
    }
}
