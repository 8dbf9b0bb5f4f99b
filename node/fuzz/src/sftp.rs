use filegrid::limits::SFTP_PACKET_MAX_BYTES;
use filegrid::sftp::fields::{put_string, put_u32, put_u64};
use filegrid::sftp::frames::Frames;
use filegrid::sftp::packet::{Packet, Request, Wrong};
use filegrid::sftp::pieces::{Origin, Pieces};
use filegrid::sftp::scp::command::{Line, Scp};

use super::{Input, STRIDES, first_line};

/// What a channel sends. Packets are the same however the bytes arrive, and those of a plain reading; requests are read
/// or refused, and those that are read are written again to the same bytes; the first line is a command line and a line
/// of SCP; and the bytes are writes to a file, whose pieces are compared with a plain array.
pub fn sftp(data: &[u8]) {
    let packets = packets(data, usize::MAX);
    for stride in STRIDES {
        assert_eq!(self::packets(data, stride), packets);
    }
    assert_eq!(packets, plainly(data));
    packets.0.iter().for_each(|packet| request(packet));
    let (line, _) = first_line(data);
    if let Some(scp) = Scp::parse(line) {
        assert!(!scp.paths.is_empty());
    }
    if let Some(line) = Line::parse(line) {
        if let Line::File { name, .. } | Line::Directory { name } = &line {
            assert!(!name.contains('/') && name != "..");
        }
        if let Some(bytes) = line.bytes() {
            assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        }
    }
    pieces(data);
}

/// The packets of a stream, and whether it is one.
fn packets(data: &[u8], stride: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut frames, mut packets) = (Frames::default(), Vec::new());
    for piece in data.chunks(stride.min(data.len().max(1))) {
        if frames.push(piece, |packet| packets.push(packet)).is_err() {
            return (packets, false);
        }
    }
    (packets, true)
}

fn plainly(mut data: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut packets = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        if length == 0 || length > SFTP_PACKET_MAX_BYTES {
            return (packets, false);
        }
        if rest.len() < length {
            break;
        }
        packets.push(rest[..length].to_vec());
        data = &rest[length..];
    }
    (packets, true)
}

fn request(packet: &[u8]) {
    match Packet::parse(packet) {
        Err(Wrong::Fatal) => assert!(packet.len() < 5),
        Err(Wrong::Malformed(id) | Wrong::NotUtf8(id)) | Ok(Packet::Init(id)) => {
            assert_eq!(packet[1..5], id.to_be_bytes());
        }
        Ok(Packet::Request(id, request)) => {
            let mut again = vec![packet[0]];
            put_u32(&mut again, id);
            match request {
                Request::Write { handle, offset, data } if packet[5..9] == [0, 0, 0, 8] => {
                    put_string(&mut again, &handle.0.to_be_bytes());
                    put_u64(&mut again, offset);
                    put_string(&mut again, &packet[data]);
                }
                Request::Remove(path) | Request::Stat(path) | Request::OpenDir(path) => {
                    put_string(&mut again, path.as_bytes());
                }
                Request::Rename { from, to, replace } if !replace => {
                    put_string(&mut again, from.as_bytes());
                    put_string(&mut again, to.as_bytes());
                }
                _ => return,
            }
            // What stands behind the fields is passed over.
            assert!(packet.starts_with(&again));
        }
    }
}

fn pieces(data: &[u8]) {
    let mut input = Input(data);
    let old = input.byte();
    let mut pieces = Pieces::old(u64::from(old));
    let mut plain: Vec<_> = (0..u64::from(old)).map(|n| (Origin::Old, n)).collect();
    let mut from = 0;
    while !input.0.is_empty() {
        let (kind, at, length) = (input.byte(), usize::from(input.byte()), usize::from(input.byte()));
        if kind % 4 == 0 {
            pieces.resize(at as u64);
            plain.resize(at, (Origin::Zero, 0));
            continue;
        }
        let origin = Origin::New(usize::from(kind % 2));
        pieces.put(at as u64, length as u64, origin, from);
        if length > 0 {
            plain.resize(plain.len().max(at + length), (Origin::Zero, 0));
            for (byte, from) in plain[at..at + length].iter_mut().zip(from..) {
                *byte = (origin, from);
            }
        }
        from += length as u64;
    }
    let mut at = 0;
    for piece in pieces.iter() {
        assert_eq!(piece.at, at as u64);
        for n in 0..piece.length {
            let from = if piece.origin == Origin::Zero {
                0
            } else {
                piece.from + n
            };
            assert_eq!(plain[at], (piece.origin, from));
            at += 1;
        }
    }
    assert_eq!(at, plain.len());
}
