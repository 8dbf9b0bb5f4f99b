//! What the tree is read through.

use std::ops::ControlFlow;

/// The rows could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tree cannot be read: {0}")]
pub struct ViewError(pub String);

/// Takes a key and its value, and says whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An ordered set of rows that does not change while it is looked at.
pub trait View {
    /// Hands the value of a key to `with`; says whether there is one.
    ///
    /// # Errors
    ///
    /// If the rows cannot be read.
    fn get(&self, key: &[u8], with: &mut dyn FnMut(&[u8])) -> Result<bool, ViewError>;

    /// Hands keys and values from `from` up to and without `to` to `visit`, in order, until it breaks.
    ///
    /// # Errors
    ///
    /// If the rows cannot be read.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), ViewError>;
}
