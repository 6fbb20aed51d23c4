//! Letters that wait for their time, counted in answers rather than seconds.

use std::collections::BTreeMap;

/// Holds at most as many letters as there are answers between posting and delivery.
#[derive(Debug)]
pub(super) struct Mailbox<T> {
    by_due: BTreeMap<usize, Vec<T>>,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self { by_due: BTreeMap::new() }
    }
}

impl<T> Mailbox<T> {
    /// Keeps a letter until `due`.
    pub(super) fn post(&mut self, letter: T, due: usize) {
        self.by_due.entry(due).or_default().push(letter);
    }

    /// Takes out all letters due by `now`.
    pub(super) fn due(&mut self, now: usize) -> Vec<T> {
        let later = self.by_due.split_off(&(now + 1));
        std::mem::replace(&mut self.by_due, later).into_values().flatten().collect()
    }

    /// Takes out all letters.
    pub(super) fn drain(&mut self) -> Vec<T> {
        std::mem::take(&mut self.by_due).into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_when_due_and_never_twice() {
        let mut mailbox = Mailbox::default();
        mailbox.post("late", 9);
        mailbox.post("now", 3);
        mailbox.post("soon", 4);
        assert_eq!(mailbox.due(3), ["now"]);
        assert_eq!(mailbox.due(5), ["soon"]);
        assert!(mailbox.due(8).is_empty());
        assert_eq!(mailbox.drain(), ["late"]);
        assert!(mailbox.drain().is_empty());
    }
}
