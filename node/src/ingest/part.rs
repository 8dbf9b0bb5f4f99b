//! A part that is being received.

use filegrid_tree::Extent;

use super::window::Window;
use crate::error::Error;
use crate::limits::{BLOCK_BYTES, INLINE_MAX_BYTES, META_MAX_BYTES};
use crate::metrics;
use crate::multipart::PartHead;
use crate::ring::AlignedBuf;
use crate::store::{BlobWriter, PinSet, Store};

/// Where the payload goes.
enum Target {
    /// The field `meta`.
    Meta(Vec<u8>),
    /// A file that may still be small.
    Gathered(Vec<u8>),
    /// A file of its own.
    Large(BlobWriter),
}

/// A part between its head and its end.
pub(super) struct OpenPart {
    head: PartHead,
    target: Target,
}

/// What a part has become.
pub(super) enum Stored {
    Meta(Vec<u8>),
    Small(Vec<u8>),
    Large(Extent, PinSet),
}

impl OpenPart {
    pub(super) fn file(head: PartHead) -> Self {
        Self {
            head,
            target: Target::Gathered(Vec::new()),
        }
    }

    pub(super) fn meta(head: PartHead) -> Self {
        Self {
            head,
            target: Target::Meta(Vec::new()),
        }
    }

    /// Whether it is a file, and not the field `meta`.
    pub(super) fn is_file(&self) -> bool {
        !matches!(self.target, Target::Meta(_))
    }

    pub(super) fn is_large(&self) -> bool {
        matches!(self.target, Target::Large(_))
    }

    /// Takes the next `bytes` of the window.
    pub(super) async fn payload(
        &mut self,
        window: &mut Window,
        bytes: usize,
        store: &Store,
        association: &[u8; 16],
    ) -> Result<(), Error> {
        match &mut self.target {
            Target::Meta(meta) if meta.len() + bytes > META_MAX_BYTES => Err(Error::TooLarge(format!(
                "the field meta is longer than {META_MAX_BYTES} bytes"
            ))),
            Target::Meta(meta) => {
                meta.extend_from_slice(window.take(bytes));
                Ok(())
            }
            Target::Gathered(gathered) if gathered.len() + bytes <= INLINE_MAX_BYTES => {
                if gathered.capacity() - gathered.len() < bytes {
                    // Once, for the rest of it: memory that is not touched costs nothing.
                    let ends_here = bytes < window.rest().len();
                    let wanted = if ends_here {
                        gathered.len() + bytes
                    } else {
                        INLINE_MAX_BYTES
                    };
                    gathered.reserve_exact(wanted - gathered.len());
                }
                gathered.extend_from_slice(window.take(bytes));
                metrics::mine().payload_copied.add(bytes as u64);
                Ok(())
            }
            Target::Gathered(gathered) => {
                let writer = store.blob_writer(association).await?;
                // Filled up to what is whole blocks, so that the rest is received where it is written from.
                let mut first = AlignedBuf::with_capacity(INLINE_MAX_BYTES);
                first.append(gathered);
                let taken = INLINE_MAX_BYTES - gathered.len();
                first.append(window.take(taken));
                window.drop_seen();
                window.skip(bytes - taken);
                metrics::mine()
                    .payload_copied
                    .add((INLINE_MAX_BYTES + bytes - taken) as u64);
                self.target = Target::Large(writer);
                self.write_out(first).await
            }
            Target::Large(_) => {
                window.skip(bytes);
                Ok(())
            }
        }
    }

    /// Writes the whole blocks that the window keeps.
    pub(super) async fn write(&mut self, window: &mut Window) -> Result<(), Error> {
        let whole = window.kept() / BLOCK_BYTES * BLOCK_BYTES;
        if whole == 0 {
            return Ok(());
        }
        let blocks = window.split_off(whole);
        metrics::mine()
            .payload_copied
            .add((window.kept() + window.rest().len()) as u64);
        self.write_out(blocks).await
    }

    async fn write_out(&mut self, blocks: AlignedBuf) -> Result<(), Error> {
        if let Target::Large(writer) = &mut self.target {
            writer.write(blocks).await?;
        }
        Ok(())
    }

    /// Ends the part: all that the window keeps is the last of it.
    pub(super) async fn finish(self, window: &mut Window) -> Result<(PartHead, Stored), Error> {
        let stored = match self.target {
            Target::Meta(meta) => Stored::Meta(meta),
            Target::Gathered(mut bytes) => {
                // It may be kept for long, with many others.
                if bytes.capacity() > 2 * bytes.len() {
                    bytes.shrink_to_fit();
                }
                Stored::Small(bytes)
            }
            Target::Large(mut writer) => {
                let last = window.split_off(window.kept());
                if !last.is_empty() {
                    writer.write(last).await?;
                }
                let (extent, pin) = writer.finish().await?;
                Stored::Large(extent, pin)
            }
        };
        Ok((self.head, stored))
    }
}
