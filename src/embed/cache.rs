//! Vectors of texts seen lately. The key is a hash, so no prompt stays in memory for the cache's sake.

use std::sync::Arc;

use moka::sync::Cache;
use sha2::{Digest, Sha256};

use crate::domain::Cut;

/// SHA-256 of ask and context.
pub(super) type Key = [u8; 32];

/// What is kept of an encode.
#[derive(Debug, Clone)]
pub(super) struct Encoded {
    pub vector: Arc<[f32]>,
    pub cut: Option<Cut>,
    pub tokens: u32,
}

/// Bounded by entries: one takes about 1.7 KB.
#[derive(Clone)]
pub(super) struct VectorCache(Cache<Key, Encoded>);

impl VectorCache {
    /// Zero entries: nothing is kept.
    pub fn new(entries: u64) -> Self {
        Self(Cache::new(entries))
    }

    pub fn get(&self, key: &Key) -> Option<Encoded> {
        self.0.get(key)
    }

    pub fn put(&self, key: Key, encoded: Encoded) {
        self.0.insert(key, encoded);
    }
}

/// The length of the ask goes first, so that no two pairs share a key by where one ends.
pub(super) fn key_of(ask: &str, context: &str) -> Key {
    let mut hash = Sha256::new();
    hash.update((ask.len() as u64).to_le_bytes());
    hash.update(ask);
    hash.update(context);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_between_ask_and_context_counts() {
        assert_ne!(key_of("ab", "c"), key_of("a", "bc"));
        assert_eq!(key_of("ab", "c"), key_of("ab", "c"));
    }
}
