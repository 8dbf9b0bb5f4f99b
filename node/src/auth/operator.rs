//! The token that opens the operator's API. It is random, so a plain sum keeps it as well as a slow hash would.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use filegrid_meta::registry::{Command, Registry};
use filegrid_meta::secret;

use super::token;
use crate::error::Error;

/// A new token, and the command that puts it in the place of the one before.
///
/// # Errors
///
/// If the system gives no random bytes.
pub(crate) fn new_operator_token() -> Result<(Command, String), String> {
    let token = format!("op_{}", secret::random_text(30)?);
    let sha256 = sha256(token.as_bytes());
    Ok((Command::SetOperator { sha256 }, token))
}

/// Demands the operator's token of an `Authorization` field.
pub(super) fn check(registry: &Registry, authorization: Option<&[u8]>) -> Result<(), Error> {
    let given = sha256(token::bearer(authorization)?);
    let known = registry.operator().unwrap_or_default();
    verify_slices_are_equal(given.as_bytes(), known.as_bytes())
        .map_err(|_| Error::Unauthorized("this needs the operator's token".to_owned()))
}

fn sha256(text: &[u8]) -> String {
    let sum = digest(&SHA256, text);
    sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
