//! From the bytes of a channel to packets: four bytes of length, then so many.

use crate::limits::SFTP_PACKET_MAX_BYTES;

/// A packet that is longer than any that we take, or empty. Nobody can say where the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a packet has {0} bytes")]
pub struct Unframed(pub usize);

/// Packets that arrive in pieces.
#[derive(Debug, Default)]
pub struct Frames {
    /// What has arrived of the next packet's length.
    head: Vec<u8>,
    /// Length of the packet that arrives, and what has arrived of it.
    body: Option<(usize, Vec<u8>)>,
}

impl Frames {
    /// Takes bytes, and hands every packet that is complete to `with`, without its length.
    ///
    /// # Errors
    ///
    /// A length that is none.
    pub fn push(&mut self, mut bytes: &[u8], mut with: impl FnMut(Vec<u8>)) -> Result<(), Unframed> {
        while !bytes.is_empty() {
            let Some((length, mut body)) = self.body.take() else {
                let (now, later) = bytes.split_at((4 - self.head.len()).min(bytes.len()));
                self.head.extend_from_slice(now);
                bytes = later;
                if let Some(length) = self.head.first_chunk() {
                    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                    if length == 0 || length > SFTP_PACKET_MAX_BYTES {
                        return Err(Unframed(length));
                    }
                    self.head.clear();
                    // No memory for what a client only announces.
                    self.body = Some((length, Vec::with_capacity(length.min(bytes.len().max(64)))));
                }
                continue;
            };
            let (now, later) = bytes.split_at((length - body.len()).min(bytes.len()));
            // The second piece of a packet shows that it is being sent.
            if !body.is_empty() {
                body.reserve_exact(length - body.len());
            }
            body.extend_from_slice(now);
            bytes = later;
            if body.len() == length {
                with(body);
            } else {
                self.body = Some((length, body));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packets_come_out_however_they_are_cut(
            packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..8),
            cuts in proptest::collection::vec(1..90_usize, 1..8),
        ) {
            let mut stream = Vec::new();
            for packet in &packets {
                stream.extend_from_slice(&u32::try_from(packet.len()).unwrap().to_be_bytes());
                stream.extend_from_slice(packet);
            }
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            let (mut rest, mut cuts) = (stream.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                frames.push(now, |packet| found.push(packet)).unwrap();
                rest = later;
            }
            prop_assert_eq!(found, packets);
        }
    }

    #[test]
    fn lengths_that_are_none_are_refused() {
        for length in [0, SFTP_PACKET_MAX_BYTES + 1, u32::MAX as usize] {
            let head = u32::try_from(length).unwrap().to_be_bytes();
            let pushed = Frames::default().push(&head, |_| panic!("no packet"));
            assert_eq!(pushed, Err(Unframed(length)));
        }
        let mut frames = Frames::default();
        let longest = vec![7; SFTP_PACKET_MAX_BYTES];
        let mut found = 0;
        frames
            .push(&u32::try_from(longest.len()).unwrap().to_be_bytes(), |_| {
                found += 1
            })
            .unwrap();
        frames.push(&longest, |_| found += 1).unwrap();
        assert_eq!(found, 1);
    }
}
