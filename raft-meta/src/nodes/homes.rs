//! Which associations are at home on a node.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::registry::Registry;

/// Associations that are at home on a node, with the generations of their homes.
///
/// # Layout
///
/// Each: AssociationKey (16), generation (8, little endian).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Homes(pub BTreeMap<Uuid, u64>);

impl Homes {
    /// Those of a node.
    #[must_use]
    pub fn of(registry: &Registry, node: u64) -> Self {
        let homes = registry.tenants().filter_map(|tenant| {
            let association = tenant.association();
            let home = association.home.filter(|home| home.node == node)?;
            Some((association.key, home.generation))
        });
        Self(homes.collect())
    }

    /// Their bytes.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut to = BytesMut::with_capacity(24 * self.0.len());
        for (key, generation) in &self.0 {
            to.put_slice(key.as_bytes());
            to.put_u64_le(*generation);
        }
        to.freeze()
    }

    /// Reads them; `None` if the bytes are none.
    #[must_use]
    pub fn read(mut from: Bytes) -> Option<Self> {
        let mut homes = BTreeMap::new();
        while !from.is_empty() {
            let key = from.try_get_u128().ok()?;
            homes.insert(Uuid::from_u128(key), from.try_get_u64_le().ok()?);
        }
        Some(Self(homes))
    }
}
