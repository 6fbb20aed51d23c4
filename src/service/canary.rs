//! Which side of a running experiment a request is on: a hash of its conversation, or of the decision where it has none, so a
//! conversation stays on its side as long as the stage lasts and a larger share only adds to a smaller one.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Chooser, LiveRoute, Service};
use crate::domain::{ExperimentName, Trial};
use crate::policy::Policy;
use crate::routing::Circumstances;

impl Service {
    /// The side, and who chooses there; nothing where no experiment is on the route, or its challenger cannot choose.
    pub(super) fn trial(&self, live: &LiveRoute, given: &Circumstances) -> Option<(Trial, Arc<dyn Policy>)> {
        let challenger = self.learning.challenger()?;
        let stage = &challenger.stage;
        if !stage.is_on(&live.route.name) || !matches!(live.chooser, Chooser::Learned) {
            return None;
        }
        let policy = challenger.policy.clone()?;
        let name = &stage.experiment.name;
        let is_challengers = unit(name, given) < stage.share;
        let trial = Trial {
            experiment: name.clone(),
            stage: stage.since,
            share: stage.share,
            challenger: is_challengers,
        };
        Some((trial, if is_challengers { policy } else { self.learning.policy() }))
    }
}

/// A number in [0, 1) that belongs to the conversation of that key, or to the decision.
fn unit(name: &ExperimentName, given: &Circumstances) -> f64 {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(name.as_str().as_bytes());
    match &given.session {
        Some(session) => {
            part(given.key.as_ref().map_or("", |key| key.as_str()).as_bytes());
            part(session.as_bytes());
        }
        None => part(given.id.as_bytes()),
    }
    let digest = hash.finalize();
    let high = digest.iter().take(7).fold(0u64, |n, byte| (n << 8) | u64::from(*byte));
    high as f64 / (1u64 << 56) as f64
}
