//! Arms that join, go and come back.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::LearnedState;
use crate::domain::{ArmId, ArmPrior, ContextError};
use crate::policy::LearnError;
use crate::policy::prior::Peer;

/// How many reports the rows of a sheet count for at most.
const SHEET_ROWS: f64 = 200.0;
/// How many the reports on a sibling do.
const SIBLING_REPORTS: f64 = 40.0;
/// How many a price does.
const PRICE_REPORTS: f64 = 10.0;
/// What an arm that comes back keeps of the weight of what was learned.
const KEPT_ON_RETURN: f64 = 0.5;

/// Who joined a running deployment, and who went.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Roster {
    /// Joined.
    pub added: BTreeSet<ArmId>,
    /// Went and has not come back.
    pub removed: BTreeSet<ArmId>,
}

impl LearnedState {
    /// The prior has no effect on an arm that has reports; one that was gone is believed less.
    pub(super) fn added(&mut self, arm: &ArmId, prior: &ArmPrior) -> Result<(), LearnError> {
        let known = self.arm(arm).is_some_and(|state| state.quality().reports() > 0);
        if self.roster.removed.contains(arm) {
            if known {
                self.change(arm, |state| {
                    state.start_from(|ridge| ridge.discount(KEPT_ON_RETURN)).map(|()| Vec::new())
                })?;
            }
        } else if !known {
            self.begin(arm, prior)?;
        }
        let roster = Arc::make_mut(&mut self.roster);
        roster.removed.remove(arm);
        roster.added.insert(arm.clone());
        Ok(())
    }

    pub(super) fn gone(&mut self, arm: &ArmId) {
        Arc::make_mut(&mut self.roster).removed.insert(arm.clone());
    }

    fn begin(&mut self, arm: &ArmId, prior: &ArmPrior) -> Result<(), LearnError> {
        match prior {
            ArmPrior::Unknown => Ok(()),
            ArmPrior::Like { arm: sibling } => {
                let Some(theirs) = self.arms.get(sibling).map(Arc::clone) else { return Ok(()) };
                let ridge = theirs.quality().ridge();
                self.change(arm, |state| {
                    state.start_from(|own| own.take_after(ridge, SIBLING_REPORTS)).map(|()| Vec::new())
                })
            }
            ArmPrior::Sheet(rated) => {
                if rated.schema != self.schema {
                    let (wanted, found) = (self.schema.clone(), rated.schema.clone());
                    return Err(ContextError::WrongSchema { wanted, found }.into());
                }
                self.change(arm, |state| {
                    state.start_from(|own| own.take_in(rated, SHEET_ROWS)).map(|()| Vec::new())
                })
            }
            ArmPrior::Price { usd, peers } => {
                let mut peers: Vec<Peer> = peers
                    .iter()
                    .filter_map(|(peer, usd)| {
                        let ridge = self.arm(peer)?.quality().ridge();
                        let mean = ridge.theta().last().copied()?;
                        let variance = ridge.sigma().powi(2) / ridge.evidence();
                        Some(Peer { log_usd: Some(usd.ln()), mean, variance })
                    })
                    .collect();
                if !usd.is_finite() || *usd <= 0.0 {
                    return Err(LearnError::BadNumber { field: "prior.usd", value: *usd });
                }
                let itself = Peer { log_usd: Some(usd.ln()), mean: 0.0, variance: f64::INFINITY };
                peers.push(itself);
                let Some(level) = self.prior.levels.expect(&peers).pop() else { return Ok(()) };
                self.change(arm, |state| {
                    state.start_from(|own| own.suppose(level, PRICE_REPORTS)).map(|()| Vec::new())
                })
            }
        }
    }
}
