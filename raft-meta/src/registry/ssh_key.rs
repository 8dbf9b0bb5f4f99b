//! Public keys in OpenSSH's one-line form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::limits::{RSA_MAX_BITS, RSA_MIN_BITS, SSH_KEY_MAX_BYTES};

/// A public key that an FTP account may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    blob: Vec<u8>,
}

impl SshKey {
    /// Reads `type base64 comment`, the comment being optional, as in a `.pub` file.
    ///
    /// The type is `ssh-ed25519` (RFC 8709), `ssh-rsa` (RFC 4253) of 2,048 to 16,384 bits, or `ecdsa-sha2-nistp256`
    /// (RFC 5656) with an uncompressed point.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong, to follow the name of a field.
    pub fn parse(line: &str) -> Result<Self, String> {
        if line.len() > SSH_KEY_MAX_BYTES {
            return Err(format!("longer than {SSH_KEY_MAX_BYTES} bytes"));
        }
        let line = line.trim();
        if line.contains(|letter: char| letter.is_control() && letter != '\t') {
            return Err("must be one line".to_owned());
        }
        let mut words = line.split_ascii_whitespace();
        let (kind, body) = (words.next().unwrap_or_default(), words.next());
        let check = match kind {
            "ssh-ed25519" => check_ed25519,
            "ssh-rsa" => check_rsa,
            "ecdsa-sha2-nistp256" => check_nistp256,
            _ => {
                return Err(
                    "must be an OpenSSH public key of type ssh-ed25519, ssh-rsa or ecdsa-sha2-nistp256"
                        .to_owned(),
                );
            }
        };
        let body = body.ok_or("the key after its type is missing")?;
        let blob = STANDARD
            .decode(body)
            .map_err(|_| "the key is no Base64".to_owned())?;
        let mut fields = Fields(&blob);
        if fields.next() != Some(kind.as_bytes()) {
            return Err(format!("the key is not of the type {kind} that it says"));
        }
        check(&mut fields)?;
        if !fields.0.is_empty() {
            return Err("the key is longer than its type has it".to_owned());
        }
        Ok(Self { blob })
    }

    /// The key as it goes over the wire (RFC 4253 §6.6), its type first.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }
}

/// Fields of a key: each a big-endian length of 4 bytes, and so many bytes (`string`, RFC 4251 §5).
struct Fields<'b>(&'b [u8]);

impl<'b> Iterator for Fields<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }
}

fn check_ed25519(fields: &mut Fields<'_>) -> Result<(), String> {
    match fields.next() {
        Some(point) if point.len() == 32 => Ok(()),
        _ => Err("the key is cut short".to_owned()),
    }
}

fn check_nistp256(fields: &mut Fields<'_>) -> Result<(), String> {
    match (fields.next(), fields.next()) {
        (Some(b"nistp256"), Some([4, point @ ..])) if point.len() == 64 => Ok(()),
        _ => Err("the key is no uncompressed point of nistp256".to_owned()),
    }
}

fn check_rsa(fields: &mut Fields<'_>) -> Result<(), String> {
    let exponent = fields.next().and_then(positive);
    let modulus = fields.next().and_then(positive);
    let (Some(exponent), Some(modulus)) = (exponent, modulus) else {
        return Err("the key is cut short".to_owned());
    };
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if !odd(exponent) || exponent == [1] || !odd(modulus) {
        return Err("the key is no RSA key".to_owned());
    }
    let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len() * 8 - zeros;
    if (RSA_MIN_BITS..=RSA_MAX_BITS).contains(&bits) {
        Ok(())
    } else {
        Err(format!(
            "an RSA key of {bits} bits; {RSA_MIN_BITS} to {RSA_MAX_BITS} are accepted"
        ))
    }
}

/// The bytes of a positive number without leading zeros (`mpint`, RFC 4251 §5).
fn positive(number: &[u8]) -> Option<&[u8]> {
    match number {
        [0, 128..=255, ..] => number.get(1..),
        [1..=127, ..] => Some(number),
        _ => None,
    }
}
