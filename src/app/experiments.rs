//! The configured experiment: it begins once, and what the log says of it afterwards holds.

use super::AppError;
use crate::config::ExperimentSettings;
use crate::domain::{AdminEvent, EventBody, Experiment, Seq};
use crate::offline::admission::admitted;
use crate::offline::bundle::Bundle;
use crate::routing::Featurizer;
use crate::store::Store;

/// Starts it unless the log knows it: an experiment that was taken back is not begun again by a restart. Blocks.
pub(super) fn tell(
    settings: &ExperimentSettings,
    store: &Store,
    featurizer: &Featurizer,
) -> Result<(), AppError> {
    let wanted = &settings.experiment;
    let fault = |message: String| AppError::Experiment { name: wanted.name.clone(), message };
    let known = |other: &Experiment| other.name == wanted.name && other.policy == wanted.policy;
    let began = || -> Result<bool, AppError> {
        Ok(store.admin_events(Seq(u64::MAX))?.into_iter().any(|event| match event.body {
            EventBody::Admin(AdminEvent::ExperimentStarted { experiment }) => known(&experiment),
            _ => false,
        }))
    };
    if began()? {
        return Ok(());
    }
    let bundle = match store.policy(&wanted.policy)? {
        Some(_) => None,
        None => {
            let bundle = Bundle::load(&settings.folder).map_err(|e| fault(e.to_string()))?;
            if bundle.version() != wanted.policy {
                return Err(fault(format!("{} holds {}", settings.folder.display(), bundle.version())));
            }
            Some(admitted(&bundle, store, featurizer).map_err(|e| fault(e.to_string()))?)
        }
    };
    if let Err(refused) = store.start_experiment(bundle, wanted.clone())? {
        // Another replica that started at the same time may have begun it.
        return if began()? { Ok(()) } else { Err(fault(refused.to_string())) };
    }
    tracing::info!(experiment = %wanted.name, policy = %wanted.policy, share = wanted.share, "an experiment begins");
    Ok(())
}
