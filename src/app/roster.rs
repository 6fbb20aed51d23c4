//! Arms that joined or went since the last start or the last configuration: told to the log, and through it to the learner.

use std::path::Path;

use super::AppError;
use crate::config::{PriorSource, Settings};
use crate::domain::{AdminEvent, ArmId, ArmPrior, RatedSums};
use crate::learning::LearningHandle;
use crate::math::cholesky::{packed_len, rank_one};
use crate::policy::Standing;
use crate::routing::RouteStrategy;
use crate::service::Reader;
use crate::store::{Appended, Store};
use crate::wire::chat::prompt_of_text;

/// Reports on some arm that make a deployment a running one, whose further arms are new.
const RUNNING: u64 = 50;
/// The longest sheet that is read.
const MOST_ROWS: usize = 5000;
/// The shortest that says anything.
const LEAST_ROWS: usize = 10;

/// Appends what has changed and waits until requests see it. Nothing on a first start without priors. What can go wrong with a prior
/// does so before anything is appended. Of several replicas that start together the first appends, and the others see that it has.
pub(super) async fn tell(
    settings: &Settings,
    reader: &Reader,
    store: &Store,
    learning: &LearningHandle,
) -> Result<(), AppError> {
    let mut status = learning.watch();
    loop {
        // Before the policy is looked at, which may be newer.
        let seen = status.borrow_and_update().published;
        let events = changes(settings, reader, learning).await?;
        if events.is_empty() {
            return Ok(());
        }
        let last = match store.append_orders(seen, events).await? {
            Appended::Here(last) | Appended::Elsewhere(last) => last,
        };
        // The learner's end of the channel lives as long as the program does.
        let told = status.wait_for(|s| s.published >= last || s.unwell.is_some()).await;
        if told.is_ok_and(|status| status.unwell.is_some()) {
            return Ok(());
        }
    }
}

/// What the log does not know yet, told in one line each.
async fn changes(
    settings: &Settings,
    reader: &Reader,
    learning: &LearningHandle,
) -> Result<Vec<AdminEvent>, AppError> {
    let policy = learning.policy();
    let present = policy.present();
    let running = present.iter().any(|(_, reports)| *reports >= RUNNING);
    let mut events = Vec::new();
    for (arm, _) in present.iter().filter(|(arm, _)| settings.catalog.arms().iter().all(|a| a.id != *arm)) {
        tracing::info!(%arm, "the model is configured no more; what was learned of it is kept");
        events.push(AdminEvent::ArmRemoved { arm: arm.clone() });
    }
    for arm in settings.catalog.arms().iter().map(|arm| &arm.id) {
        let prior = match (policy.standing(arm), settings.priors.get(arm)) {
            (Some(Standing::Removed), _) => ArmPrior::Unknown,
            (None, Some(source)) => prior(arm, source, settings, reader).await?,
            (None, None) if running && is_learned(arm, settings) => ArmPrior::Unknown,
            _ => continue,
        };
        tracing::info!(%arm, "the model is new to the router");
        events.push(AdminEvent::ArmAdded { arm: arm.clone(), prior });
    }
    Ok(events)
}

/// Whether some route learns about it.
fn is_learned(arm: &ArmId, settings: &Settings) -> bool {
    settings.routes.iter().any(|route| route.strategy == RouteStrategy::Learned && route.arms.contains(arm))
}

async fn prior(
    arm: &ArmId,
    source: &PriorSource,
    settings: &Settings,
    reader: &Reader,
) -> Result<ArmPrior, AppError> {
    Ok(match source {
        PriorSource::Like(sibling) => ArmPrior::Like { arm: sibling.clone() },
        PriorSource::Sheet(path) => ArmPrior::Sheet(Box::new(sheet(path, reader).await?)),
        PriorSource::Price => {
            let mut peers = settings.comparable_usd.clone();
            peers.remove(arm).map_or(ArmPrior::Unknown, |usd| ArmPrior::Price { usd, peers })
        }
    })
}

/// Embeds the prompts and sums them up.
async fn sheet(path: &Path, reader: &Reader) -> Result<RatedSums, AppError> {
    let fault = |message: String| AppError::Sheet { path: path.to_owned(), message };
    let rows = rows(path).map_err(fault)?;
    let dim = reader.featurizer.dim();
    let mut sums = RatedSums {
        schema: reader.featurizer.schema().clone(),
        xx: vec![0.0; packed_len(dim)],
        xy: vec![0.0; dim],
        yy: 0.0,
        rows: 0.0,
    };
    for (prompt, quality) in rows {
        let (context, _) = reader.context(&prompt_of_text(&prompt)).await;
        let context =
            context.and_then(|c| c.ok_or_else(|| "a prompt was not read".to_owned())).map_err(fault)?;
        let x: Vec<f64> = context.features().iter().map(|x| f64::from(*x)).collect();
        rank_one(&mut sums.xx, &x, 1.0);
        sums.xy.iter_mut().zip(&x).for_each(|(sum, x)| *sum += quality * x);
        sums.yy += quality * quality;
        sums.rows += 1.0;
    }
    Ok(sums)
}

#[derive(serde::Deserialize)]
struct Row {
    prompt: String,
    quality: f64,
}

fn rows(path: &Path) -> Result<Vec<(String, f64)>, String> {
    let mut reader = csv::Reader::from_path(path).map_err(|e| e.to_string())?;
    let mut rows = Vec::new();
    for row in reader.deserialize::<Row>().take(MOST_ROWS) {
        let row = row.map_err(|e| format!("{e}; the columns are `prompt` and `quality`"))?;
        if !(0.0..=1.0).contains(&row.quality) || row.prompt.is_empty() {
            let line = rows.len() + 2;
            return Err(format!("line {line}: a prompt and a quality between 0 and 1 are wanted"));
        }
        rows.push((row.prompt, row.quality));
    }
    if rows.len() < LEAST_ROWS {
        return Err(format!("has {} rows; at least {LEAST_ROWS} are wanted, better 100 or more", rows.len()));
    }
    Ok(rows)
}
