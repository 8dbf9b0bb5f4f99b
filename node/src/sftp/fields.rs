//! The fields that packets are made of, RFC 4251 §5: big endian, strings behind their length.

use std::ops::Range;

/// Fewer bytes than there should be, or others than are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short;

/// Bytes that are read field by field.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// All of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Whether all were read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let rest = self.bytes.get(self.at..).ok_or(Short)?;
        let array = *rest.first_chunk().ok_or(Short)?;
        self.at += N;
        Ok(array)
    }

    /// One byte.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn u8(&mut self) -> Result<u8, Short> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// Four bytes.
    ///
    /// # Errors
    ///
    /// There are fewer.
    pub fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    ///
    /// There are fewer.
    pub fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_be_bytes)
    }

    /// Where a string lies.
    ///
    /// # Errors
    ///
    /// There are fewer bytes than it says.
    pub fn range(&mut self) -> Result<Range<usize>, Short> {
        let length = usize::try_from(self.u32()?).map_err(|_| Short)?;
        let end = self.at.checked_add(length).ok_or(Short)?;
        if end > self.bytes.len() {
            return Err(Short);
        }
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    /// A string.
    ///
    /// # Errors
    ///
    /// There are fewer bytes than it says.
    pub fn string(&mut self) -> Result<&'a [u8], Short> {
        let range = self.range()?;
        self.bytes.get(range).ok_or(Short)
    }
}

/// Appends four bytes.
pub fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}

/// Appends eight bytes.
pub fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}

/// Appends a string.
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(bytes);
}
