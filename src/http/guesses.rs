//! Wrong keys on the admin paths: who sends too many of them is not looked at for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::math::bucket::Bucket;

/// Wrong keys that one address may send within a minute.
const PER_MINUTE: u32 = 10;
/// Addresses beyond which those are forgotten that sent none of late; of still more, all.
const MOST_PEERS: usize = 10_000;

/// Where a connection comes from; an extension of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Peer(pub(super) IpAddr);

/// Wrong keys by address.
#[derive(Debug)]
pub struct Guesses {
    since: Instant,
    wrong: Mutex<HashMap<IpAddr, Bucket>>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self { since: Instant::now(), wrong: Mutex::default() }
    }
}

impl Guesses {
    fn now(&self) -> f64 {
        self.since.elapsed().as_secs_f64() * 1e3
    }

    /// Milliseconds for which nothing of this address is looked at; `None`: it may try.
    pub(super) fn shut_out(&self, peer: Peer) -> Option<u64> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bucket = *wrong.get(&peer.0)?;
        bucket.take(1.0, self.now()).err().map(|ms| ms.ceil() as u64)
    }

    /// A wrong key came from there.
    pub(super) fn wrong(&self, peer: Peer) {
        let at = self.now();
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= MOST_PEERS && !wrong.contains_key(&peer.0) {
            wrong.retain(|_, bucket| bucket.ms_until_full(at) > 0.0);
            if wrong.len() >= MOST_PEERS {
                wrong.clear();
            }
        }
        wrong.entry(peer.0).or_insert_with(|| Bucket::full(PER_MINUTE, at)).correct(1.0, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_ten_wrong_keys_an_address_waits_and_others_do_not() {
        let guesses = Guesses::default();
        let peer = |last| Peer(IpAddr::from([10, 0, 0, last]));
        for _ in 0..PER_MINUTE {
            assert_eq!(guesses.shut_out(peer(1)), None);
            guesses.wrong(peer(1));
        }
        let wait = guesses.shut_out(peer(1)).unwrap();
        assert!((1..=6_000).contains(&wait), "{wait}");
        assert_eq!(guesses.shut_out(peer(2)), None);
    }

    #[test]
    fn addresses_are_bounded() {
        let guesses = Guesses::default();
        for n in 0..(MOST_PEERS as u32 + 10) {
            guesses.wrong(Peer(IpAddr::from(n.to_be_bytes())));
        }
        assert!(guesses.wrong.lock().unwrap().len() <= MOST_PEERS);
    }
}
