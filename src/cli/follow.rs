//! When the configuration of a running service is read again: at SIGHUP, and when its file has changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::Signal;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::service::Live;

/// Between two looks at the file.
const EVERY: Duration = Duration::from_secs(1);

/// What is looked at: when it was written, and its length.
type Stamp = Option<(SystemTime, u64)>;

/// Goes on until it is aborted. What comes of a reload stands in the log.
pub(super) async fn follow(live: Arc<Live>, mut hangups: Signal, file: Option<PathBuf>) {
    let mut watch = Watch::new(stamp(file.as_deref()));
    let mut ticks = ticks();
    loop {
        let by = tokio::select! {
            hangup = hangups.recv() => {
                if hangup.is_none() { return }
                watch.taken(stamp(file.as_deref()));
                "SIGHUP"
            }
            _ = ticks.tick() => {
                if !watch.has_settled(stamp(file.as_deref())) { continue }
                "file"
            }
        };
        let _logged = live.reload(by).await;
    }
}

fn ticks() -> Interval {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn stamp(file: Option<&Path>) -> Stamp {
    let meta = std::fs::metadata(file?).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

/// Waits for a changed file to hold still: one that is being written is not read half-way.
struct Watch {
    read: Stamp,
    seen: Stamp,
}

impl Watch {
    fn new(stamp: Stamp) -> Self {
        Self { read: stamp, seen: stamp }
    }

    /// Whether the file is another than the one that was read, and the same as at the last look. A file that is gone changes nothing.
    fn has_settled(&mut self, stamp: Stamp) -> bool {
        let is_still = std::mem::replace(&mut self.seen, stamp) == stamp;
        let is_due = stamp.is_some() && is_still && stamp != self.read;
        if is_due {
            self.read = stamp;
        }
        is_due
    }

    /// It is read for another reason.
    fn taken(&mut self, stamp: Stamp) {
        (self.read, self.seen) = (stamp, stamp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g2_a_file_is_read_once_after_each_change_and_not_while_it_is_written() {
        let at = |second: u64, length| Some((SystemTime::UNIX_EPOCH + Duration::from_secs(second), length));
        let mut watch = Watch::new(at(1, 10));
        assert!(!watch.has_settled(at(1, 10)), "as at the start");
        assert!(!watch.has_settled(at(2, 5)), "just now");
        assert!(!watch.has_settled(at(2, 9)), "still growing");
        assert!(watch.has_settled(at(2, 9)));
        assert!(!watch.has_settled(at(2, 9)), "once");
        assert!(!watch.has_settled(None) && !watch.has_settled(None), "gone");
        assert!(!watch.has_settled(at(2, 9)) && !watch.has_settled(at(2, 9)), "back as it was");
        watch.taken(at(3, 9));
        assert!(!watch.has_settled(at(3, 9)), "read at a signal");
        assert!(!watch.has_settled(at(4, 9)));
        assert!(watch.has_settled(at(4, 9)));
    }
}
