//! Texts in the bodies of messages: length (2, little endian), then UTF-8.

use bytes::{Buf, BufMut};

/// Writes a text; what is longer than its length can say is cut off.
pub(crate) fn put_text(to: &mut impl BufMut, text: &str) {
    let length = text.len().min(usize::from(u16::MAX));
    to.put_u16_le(u16::try_from(length).unwrap_or(u16::MAX));
    to.put_slice(text.as_bytes().get(..length).unwrap_or_default());
}

/// Reads a text; `None` if there is none.
pub(crate) fn get_text(from: &mut impl Buf) -> Option<String> {
    let length = usize::from(from.try_get_u16_le().ok()?);
    if from.remaining() < length {
        return None;
    }
    let mut text = vec![0; length];
    from.copy_to_slice(&mut text);
    String::from_utf8(text).ok()
}
