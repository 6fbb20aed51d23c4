//! The state's bytes: a mark of the form, the parts, a digest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{LearnedState, Roster, Settings};
use crate::domain::{ArmId, FeatureSchema, UnixMs};
use crate::math::cholesky::NotPositive;
use crate::policy::drift::{Alarm, REMEMBERED, TrafficWatch};
use crate::policy::heads::ArmState;
use crate::policy::prior::Prior;
use crate::policy::reporters::Reporters;

/// First bytes of a stored state; the last is the version of the form.
const MAGIC: [u8; 8] = *b"PMSTATE\x05";

/// Bytes of the SHA-256 at the end.
const DIGEST_BYTES: usize = 32;

/// Why stored bytes are no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Not written by this version, or not a state at all.
    #[error("not a learner state of version {}", MAGIC[7])]
    Form,
    /// The digest does not fit: cut short or altered.
    #[error("the learner state is damaged: its digest does not fit")]
    Digest,
    /// The parts do not decode.
    #[error("the learner state does not decode")]
    Decode(#[source] postcard::Error),
    /// The numbers of an arm are not a state.
    #[error("the learner state of arm {arm} is not usable")]
    Arm {
        /// Which.
        arm: ArmId,
        /// Why.
        source: NotPositive,
    },
    /// There are no or too many features, or the priors are not positive and finite.
    #[error("no heads over {dim} features with these settings")]
    Settings {
        /// Number of features.
        dim: usize,
    },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    schema: FeatureSchema,
    dim: u64,
    settings: Settings,
    prior: Arc<Prior>,
    origin: String,
    heard: u64,
    now: UnixMs,
    alarms: Arc<VecDeque<Alarm>>,
    raised: u64,
    traffic: Arc<TrafficWatch>,
    roster: Arc<Roster>,
    reporters: Arc<Reporters>,
    arms: BTreeMap<ArmId, Arc<ArmState>>,
}

impl LearnedState {
    /// Reads what [`crate::policy::Learner::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are of another version, damaged, or hold numbers that are no state.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let body = bytes.strip_prefix(&MAGIC).ok_or(StateError::Form)?;
        let split = body.len().checked_sub(DIGEST_BYTES).ok_or(StateError::Digest)?;
        let (body, digest) = body.split_at(split);
        if Sha256::digest(body).as_slice() != digest {
            return Err(StateError::Digest);
        }
        let stored: Stored = postcard::from_bytes(body).map_err(StateError::Decode)?;
        let dim = usize::try_from(stored.dim).unwrap_or(usize::MAX);
        let mut state = Self::with_prior(stored.schema, stored.prior, dim, stored.settings)?;
        if !stored.traffic.is_sound(dim) || stored.alarms.len() > REMEMBERED {
            return Err(StateError::Settings { dim });
        }
        state.origin = stored.origin;
        (state.heard, state.now, state.raised) = (stored.heard, stored.now, stored.raised);
        (state.alarms, state.traffic) = (stored.alarms, stored.traffic);
        state.roster = stored.roster;
        if !stored.reporters.is_sound() {
            return Err(StateError::Settings { dim });
        }
        state.reporters = stored.reporters;
        for (arm, mut heads) in stored.arms {
            Arc::make_mut(&mut heads)
                .restore(dim)
                .map_err(|source| StateError::Arm { arm: arm.clone(), source })?;
            state.arms.insert(arm, heads);
        }
        Ok(state)
    }

    /// What [`Self::from_bytes`] reads.
    pub(super) fn stored(&self) -> Vec<u8> {
        let stored = Stored {
            schema: self.schema.clone(),
            dim: self.dim as u64,
            settings: self.settings,
            prior: Arc::clone(&self.prior),
            origin: self.origin.clone(),
            heard: self.heard,
            now: self.now,
            alarms: Arc::clone(&self.alarms),
            raised: self.raised,
            traffic: Arc::clone(&self.traffic),
            roster: Arc::clone(&self.roster),
            reporters: Arc::clone(&self.reporters),
            arms: self.arms.clone(),
        };
        // Encoding into memory has no way to fail; were there one, the empty body would be refused when it is read.
        let body = postcard::to_allocvec(&stored).unwrap_or_default();
        let digest = Sha256::digest(&body);
        [MAGIC.as_slice(), &body, digest.as_slice()].concat()
    }
}
