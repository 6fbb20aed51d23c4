//! The writer's connection, made anew when it is lost: at once the first time, then after pauses that grow and differ between replicas.

use std::time::{Duration, Instant};

use super::super::StoreError;
use super::super::address::PostgresUrl;
use super::schema::{GREETING, migrate};
use super::{PostgresTransaction, Session};

/// For each answer, on the server as well: reports are answered within two seconds.
const PATIENCE: Duration = Duration::from_millis(1500);
/// The shortest and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// See the module.
pub(in crate::store) struct Link {
    url: PostgresUrl,
    session: Option<Session>,
    /// How often in a row it could not be had.
    failures: u32,
    next_try: Instant,
    /// Why not.
    fault: Option<StoreError>,
}

impl Link {
    /// Connects and brings the schema up to date.
    pub(in crate::store) fn open(url: &PostgresUrl) -> Result<Self, StoreError> {
        migrate(url)?;
        let mut link =
            Self { url: url.clone(), session: None, failures: 0, next_try: Instant::now(), fault: None };
        link.session()?;
        Ok(link)
    }

    /// A connection that was good when it was last used.
    pub(in crate::store) fn session(&mut self) -> Result<&Session, StoreError> {
        if self.session.as_ref().is_none_or(Session::is_broken) {
            self.session = None;
            self.session = Some(self.connect()?);
        }
        self.session.as_ref().ok_or(StoreError::Closed)
    }

    /// Begins a transaction. That the connection was lost since it was last used is no reason to refuse.
    pub(in crate::store) fn begin(&mut self) -> Result<PostgresTransaction<'_>, StoreError> {
        if self.session.as_ref().is_some_and(|session| session.say("").is_err()) {
            self.session = None;
        }
        PostgresTransaction::begin(self.session()?).map_err(StoreError::doing("starting a transaction"))
    }

    fn connect(&mut self) -> Result<Session, StoreError> {
        if let Some(fault) = self.fault.as_ref().filter(|_| Instant::now() < self.next_try) {
            return Err(fault.clone());
        }
        match Session::connect(&self.url, PATIENCE, GREETING) {
            Ok(session) => {
                (self.failures, self.fault) = (0, None);
                Ok(session)
            }
            Err(error) => {
                let fault = StoreError::doing("connecting")(error);
                self.next_try = Instant::now() + pause(self.failures);
                self.failures = self.failures.saturating_add(1);
                self.fault = Some(fault.clone());
                Err(fault)
            }
        }
    }
}

/// Between half and the whole of what doubles with every failure.
fn pause(failures: u32) -> Duration {
    let whole = PAUSES.0.saturating_mul(1 << failures.min(10)).min(PAUSES.1);
    let mut random = [0_u8; 2];
    // Without randomness all wait as long.
    let _is_random = getrandom::fill(&mut random).is_ok();
    whole.mul_f64(0.5 + f64::from(u16::from_le_bytes(random)) / 131_072.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        for failures in 0..40 {
            let whole = PAUSES.0.saturating_mul(1 << failures.min(10)).min(PAUSES.1);
            let pauses: Vec<_> = (0..16).map(|_| pause(failures)).collect();
            assert!(pauses.iter().all(|p| *p >= whole / 2 && *p <= whole), "{failures}: {pauses:?}");
            assert!(pauses.iter().any(|p| *p != pauses[0]), "{failures}: {pauses:?}");
        }
    }
}
