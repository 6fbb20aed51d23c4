//! How long the last answers of an arm took to begin.

use std::time::Duration;

/// Answers that are remembered.
const KEPT: usize = 64;
/// Answers below which nothing is said.
const LEAST: usize = 20;

/// A ring of times.
#[derive(Debug, Default)]
pub(super) struct Recent {
    times: Vec<Duration>,
    next: usize,
}

impl Recent {
    pub(super) fn note(&mut self, time: Duration) {
        if self.times.len() < KEPT {
            self.times.push(time);
        } else {
            self.times[self.next] = time;
        }
        self.next = (self.next + 1) % KEPT;
    }

    /// The time within which 95 % of them began; `None` while too few are known.
    pub(super) fn p95(&self) -> Option<Duration> {
        if self.times.len() < LEAST {
            return None;
        }
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        sorted.get((sorted.len() * 95).div_ceil(100) - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_p95_is_of_the_last_answers_and_needs_twenty() {
        let mut recent = Recent::default();
        (1..20).for_each(|ms| recent.note(Duration::from_millis(ms)));
        assert_eq!(recent.p95(), None);
        recent.note(Duration::from_millis(20));
        assert_eq!(recent.p95(), Some(Duration::from_millis(19)));
        (0..KEPT as u64).for_each(|ms| recent.note(Duration::from_millis(1000 + ms)));
        assert_eq!(recent.p95(), Some(Duration::from_millis(1060)), "the old ones are gone");
    }
}
