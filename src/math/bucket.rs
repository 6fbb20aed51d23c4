//! A token bucket: how much may be taken over a minute, in a burst or spread out.

const MINUTE_MS: f64 = 60_000.0;

/// Holds what a minute allows and is filled evenly. What is taken may be corrected later, so its level may fall below nothing; until
/// that is made good nothing more can be taken. Times are milliseconds of any clock that does not go back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// What fits, and what flows in over a minute.
    capacity: f64,
    level: f64,
    at_ms: f64,
}

impl Bucket {
    /// A full one.
    pub fn full(per_minute: u32, at_ms: f64) -> Self {
        let capacity = f64::from(per_minute.max(1));
        Self { capacity, level: capacity, at_ms }
    }

    /// What fits.
    pub fn capacity(&self) -> f64 {
        self.capacity
    }

    /// The same of another size; what was taken stays taken.
    pub fn resize(&mut self, per_minute: u32, at_ms: f64) {
        let taken = self.capacity - self.level_at(at_ms);
        self.capacity = f64::from(per_minute.max(1));
        self.level = self.capacity - taken;
    }

    fn level_at(&mut self, at_ms: f64) -> f64 {
        let passed = (at_ms - self.at_ms).max(0.0);
        self.level = (self.level + passed * self.capacity / MINUTE_MS).min(self.capacity);
        self.at_ms = self.at_ms.max(at_ms);
        self.level
    }

    /// Takes `amount`; of more than fits, all of a full bucket, and the rest is owed.
    ///
    /// # Errors
    /// Milliseconds until it can be taken.
    pub fn take(&mut self, amount: f64, at_ms: f64) -> Result<(), f64> {
        let lacks = amount.min(self.capacity) - self.level_at(at_ms);
        if lacks > 1e-9 {
            return Err(self.ms_for(lacks));
        }
        self.level -= amount;
        Ok(())
    }

    /// Takes what turned out to be used beyond what was taken, or gives back what was not used (negative).
    pub fn correct(&mut self, more: f64, at_ms: f64) {
        self.level = (self.level_at(at_ms) - more).min(self.capacity);
    }

    /// What can be taken at once.
    pub fn remaining(&mut self, at_ms: f64) -> f64 {
        self.level_at(at_ms).max(0.0)
    }

    /// Milliseconds until it is full.
    pub fn ms_until_full(&mut self, at_ms: f64) -> f64 {
        let lacks = self.capacity - self.level_at(at_ms);
        self.ms_for(lacks)
    }

    fn ms_for(&self, amount: f64) -> f64 {
        amount * MINUTE_MS / self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_may_be_taken_at_once_and_comes_back_evenly() {
        let mut bucket = Bucket::full(60, 0.0);
        for _ in 0..60 {
            bucket.take(1.0, 0.0).unwrap();
        }
        assert_eq!(bucket.take(1.0, 0.0), Err(1000.0));
        assert_eq!(bucket.take(1.0, 400.0), Err(600.0));
        bucket.take(1.0, 1000.0).unwrap();
        assert_eq!(bucket.ms_until_full(1000.0), 60_000.0);
        assert_eq!(bucket.remaining(1_000_000.0), 60.0, "never more than fits");
    }

    #[test]
    fn debts_are_paid_before_more_is_taken_and_what_was_not_used_comes_back() {
        let mut bucket = Bucket::full(600, 0.0);
        bucket.take(100.0, 0.0).unwrap();
        bucket.correct(900.0, 0.0);
        assert_eq!(bucket.remaining(0.0), 0.0);
        assert_eq!(bucket.take(10.0, 0.0), Err(41_000.0), "400 are owed, 10 a second come in");
        bucket.correct(-1000.0, 0.0);
        assert_eq!(bucket.remaining(0.0), 600.0);
    }

    #[test]
    fn more_than_fits_waits_for_a_full_bucket_and_is_owed() {
        let mut bucket = Bucket::full(60, 0.0);
        bucket.take(1.0, 0.0).unwrap();
        assert_eq!(bucket.take(120.0, 0.0), Err(1000.0));
        bucket.take(120.0, 1000.0).unwrap();
        assert_eq!(bucket.take(1.0, 1000.0), Err(61_000.0));
    }

    #[test]
    fn a_new_size_keeps_what_was_taken_and_time_does_not_go_back() {
        let mut bucket = Bucket::full(10, 5000.0);
        bucket.take(8.0, 5000.0).unwrap();
        bucket.resize(100, 5000.0);
        assert_eq!(bucket.remaining(5000.0), 92.0);
        bucket.resize(4, 5000.0);
        assert_eq!(bucket.remaining(0.0), 0.0);
        assert!(bucket.take(1.0, 0.0).is_err());
    }
}
