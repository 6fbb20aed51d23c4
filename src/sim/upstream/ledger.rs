//! Who answered what: the last so many completion ids.

use std::collections::{HashMap, VecDeque};

/// What an answer was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Index of the prompt in the playbook; `None` for words that are not in it.
    pub play: Option<usize>,
    /// Index of the model in the playbook.
    pub model: usize,
}

/// Bounded: the oldest entry goes first.
#[derive(Debug)]
pub(super) struct Ledger {
    capacity: usize,
    order: VecDeque<String>,
    by_id: HashMap<String, Served>,
}

impl Ledger {
    /// Remembers `capacity` answers, at least one.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), order: VecDeque::new(), by_id: HashMap::new() }
    }

    /// Remembers one more.
    pub(super) fn note(&mut self, id: String, served: Served) {
        if self.order.len() == self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        self.order.push_back(id.clone());
        self.by_id.insert(id, served);
    }

    /// What the answer of that id was made of.
    pub(super) fn get(&self, id: &str) -> Option<Served> {
        self.by_id.get(id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_when_it_is_full() {
        let mut ledger = Ledger::new(2);
        for (i, id) in ["a", "b", "c"].into_iter().enumerate() {
            ledger.note(id.to_owned(), Served { play: Some(i), model: 0 });
        }
        assert_eq!(ledger.get("a"), None);
        assert_eq!(ledger.get("c"), Some(Served { play: Some(2), model: 0 }));
        assert_eq!((ledger.order.len(), ledger.by_id.len()), (2, 2));
    }
}
