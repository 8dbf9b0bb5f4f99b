//! Headers of an archive, APPNOTE 4.3. ZIP64 fields appear exactly where a value needs them.

use super::Entry;

/// A value that says: look into the ZIP64 field.
const IN_ZIP64: u32 = u32::MAX;
/// Entries from which the end record needs ZIP64.
const ENTRIES_ZIP64: u64 = 65_535;
/// General-purpose flag: names are UTF-8.
const UTF8: u16 = 1 << 11;
const LOCAL_BYTES: u64 = 30;
const CENTRAL_BYTES: u64 = 46;
/// Extended timestamp: header, flags, modification time.
const TIME_BYTES: u64 = 9;

fn is_long(value: u64) -> bool {
    value >= u64::from(IN_ZIP64)
}

fn short(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(IN_ZIP64)
}

/// Length of [`local`].
pub(super) fn local_length(entry: &Entry) -> u64 {
    let zip64 = if is_long(entry.size) { 20 } else { 0 };
    LOCAL_BYTES + entry.name.len() as u64 + TIME_BYTES + zip64
}

/// Length of [`central`].
pub(super) fn central_length(entry: &Entry, offset: u64) -> u64 {
    let zip64 = match 16 * u64::from(is_long(entry.size)) + 8 * u64::from(is_long(offset)) {
        0 => 0,
        values => 4 + values,
    };
    CENTRAL_BYTES + entry.name.len() as u64 + TIME_BYTES + zip64
}

/// The header before a file.
pub(super) fn local(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + entry.name.len());
    out.extend_from_slice(b"PK\x03\x04");
    let long = is_long(entry.size);
    common(&mut out, entry, long);
    put16(&mut out, entry.name.len() as u64);
    put16(&mut out, TIME_BYTES + if long { 20 } else { 0 });
    out.extend_from_slice(entry.name.as_bytes());
    time_field(&mut out, entry);
    if long {
        put16(&mut out, 1);
        put16(&mut out, 16);
        out.extend_from_slice(&entry.size.to_le_bytes());
        out.extend_from_slice(&entry.size.to_le_bytes());
    }
    out
}

/// The header in the central directory.
pub(super) fn central(entry: &Entry, offset: u64) -> Vec<u8> {
    let mut zip64 = Vec::new();
    if is_long(entry.size) {
        zip64.extend_from_slice(&entry.size.to_le_bytes());
        zip64.extend_from_slice(&entry.size.to_le_bytes());
    }
    if is_long(offset) {
        zip64.extend_from_slice(&offset.to_le_bytes());
    }
    let mut out = Vec::with_capacity(96 + entry.name.len());
    out.extend_from_slice(b"PK\x01\x02");
    // Made by UNIX, so that the permissions below count.
    put16(&mut out, 3 << 8 | 45);
    common(&mut out, entry, !zip64.is_empty());
    put16(&mut out, entry.name.len() as u64);
    put16(
        &mut out,
        TIME_BYTES
            + if zip64.is_empty() {
                0
            } else {
                4 + zip64.len() as u64
            },
    );
    // Comment, disk, internal attributes: none. A regular file, 0644.
    out.extend_from_slice(&[0; 6]);
    out.extend_from_slice(&(0o100_644_u32 << 16).to_le_bytes());
    out.extend_from_slice(&short(offset).to_le_bytes());
    out.extend_from_slice(entry.name.as_bytes());
    time_field(&mut out, entry);
    if !zip64.is_empty() {
        put16(&mut out, 1);
        put16(&mut out, zip64.len() as u64);
        out.extend_from_slice(&zip64);
    }
    out
}

/// What follows the central directory, which spans `start..end`.
pub(super) fn end(entries: u64, start: u64, end: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(98);
    if entries >= ENTRIES_ZIP64 || is_long(start) || is_long(end - start) {
        out.extend_from_slice(b"PK\x06\x06");
        out.extend_from_slice(&44_u64.to_le_bytes());
        put16(&mut out, 3 << 8 | 45);
        put16(&mut out, 45);
        out.extend_from_slice(&[0; 8]);
        for value in [entries, entries, end - start, start] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(b"PK\x06\x07");
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&end.to_le_bytes());
        out.extend_from_slice(&1_u32.to_le_bytes());
    }
    out.extend_from_slice(b"PK\x05\x06");
    out.extend_from_slice(&[0; 4]);
    put16(&mut out, entries);
    put16(&mut out, entries);
    out.extend_from_slice(&short(end - start).to_le_bytes());
    out.extend_from_slice(&short(start).to_le_bytes());
    put16(&mut out, 0);
    out
}

/// Version needed, flags, method, time, CRC32 and sizes, which both headers share.
fn common(out: &mut Vec<u8>, entry: &Entry, zip64: bool) {
    put16(out, if zip64 { 45 } else { 20 });
    out.extend_from_slice(&UTF8.to_le_bytes());
    put16(out, 0);
    let (time, date) = dos_time(entry.mtime_ms);
    out.extend_from_slice(&time.to_le_bytes());
    out.extend_from_slice(&date.to_le_bytes());
    out.extend_from_slice(&entry.crc32.to_le_bytes());
    out.extend_from_slice(&short(entry.size).to_le_bytes());
    out.extend_from_slice(&short(entry.size).to_le_bytes());
}

/// Extended timestamp (`UT`): seconds in UTC, which the DOS time cannot say.
fn time_field(out: &mut Vec<u8>, entry: &Entry) {
    out.extend_from_slice(b"UT");
    put16(out, 5);
    out.push(1);
    let seconds = entry
        .mtime_ms
        .div_euclid(1000)
        .clamp(i64::from(i32::MIN), i64::from(i32::MAX));
    out.extend_from_slice(&i32::try_from(seconds).unwrap_or(0).to_le_bytes());
}

/// Sixteen bits; a larger value stands in the ZIP64 records.
fn put16(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes());
}

/// Time and date as DOS has them, in UTC, 1980 to 2107.
fn dos_time(mtime_ms: i64) -> (u16, u16) {
    let seconds = mtime_ms.div_euclid(1000).clamp(315_532_800, 4_354_819_198);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let time = (second / 3600) << 11 | (second / 60 % 60) << 5 | (second % 60 / 2);
    let date = (year - 1980) << 9 | month << 5 | day;
    (u16::try_from(time).unwrap_or(0), u16::try_from(date).unwrap_or(0))
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted from 1 March of year 0, so that the leap day comes last.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}
