//! How much the encoder has before it, and how long that will take: what "is it worth waiting" is answered with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Share of the newest batch in the mean time of a token.
const NEWEST: f64 = 0.2;

/// Work handed in and not yet answered.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Tokens of it, as estimated from bytes.
    tokens: AtomicUsize,
    /// Mean time of such a token on one thread, in nanoseconds; 0: nothing was timed yet.
    token_ns: AtomicU64,
}

impl Load {
    /// Counts `tokens` until the ticket is dropped, in whatever way the work ends.
    pub fn enter(self: &Arc<Self>, tokens: usize) -> Ticket {
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
        Ticket { load: Arc::clone(self), tokens }
    }

    /// A batch of `tokens` took this long on one thread.
    pub fn timed(&self, tokens: usize, took: Duration) {
        let now = took.as_nanos() as f64 / tokens.max(1) as f64;
        let before = self.token_ns.load(Ordering::Relaxed);
        let mean = if before == 0 { now } else { before as f64 + NEWEST * (now - before as f64) };
        // Two threads may overwrite each other: one batch is then not in the mean.
        self.token_ns.store(mean.max(1.0) as u64, Ordering::Relaxed);
    }

    /// How long `tokens` more will take on `threads`, with what is before them. Nothing for an idle encoder: one that was slow for a
    /// while is tried again.
    pub fn expected(&self, tokens: usize, threads: usize) -> Duration {
        let before = self.tokens.load(Ordering::Relaxed);
        if before == 0 {
            return Duration::ZERO;
        }
        let shared = before as f64 / threads.max(1) as f64 + tokens as f64;
        Duration::from_nanos((shared * self.token_ns.load(Ordering::Relaxed) as f64) as u64)
    }
}

/// Work that is counted.
#[derive(Debug)]
pub(super) struct Ticket {
    load: Arc<Load>,
    tokens: usize,
}

impl Ticket {
    /// Estimated tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.load.tokens.fetch_sub(self.tokens, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_what_lies_before_shared_by_the_threads_and_ends_with_the_tickets() {
        let load = Arc::new(Load::default());
        assert_eq!(load.expected(100, 1), Duration::ZERO);
        load.timed(10, Duration::from_micros(10));
        let ticket = load.enter(400);
        assert_eq!(load.expected(100, 1), Duration::from_micros(500));
        assert_eq!(load.expected(100, 4), Duration::from_micros(200));
        drop(ticket);
        assert_eq!(load.expected(100, 1), Duration::ZERO);
    }

    #[test]
    fn the_time_of_a_token_follows_the_batches() {
        let load = Arc::new(Load::default());
        let _ticket = load.enter(1);
        (0..50).for_each(|_| load.timed(4, Duration::from_nanos(4_000)));
        assert_eq!(load.expected(0, 1), Duration::from_nanos(1_000));
        load.timed(4, Duration::from_nanos(8_000));
        assert_eq!(load.expected(0, 1), Duration::from_nanos(1_200));
    }
}
