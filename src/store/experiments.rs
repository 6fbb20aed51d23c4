//! Experiments: events of the log, checked in the transaction that appends them, so that there is one at a time whoever writes.

use super::db::{Db, Result as DbResult, params};
use super::log::Log;
use super::policies::{NewPolicy, is_kept, keep, take_over};
use super::rows::{event_columns, read};
use super::{Lead, Store, StoreError};
use crate::domain::{
    AdminEvent, Event, EventBody, Experiment, ExperimentEnd, ExperimentName, PolicyVersion, Seq, Stage,
};

/// Why an experiment did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStarted {
    /// There is one already.
    #[error("the experiment {0} is running: stop it first, one runs at a time")]
    Running(ExperimentName),
    /// Nobody knows the challenger.
    #[error("the store has no policy {0}: put it there with `pointsman promote BUNDLE --keep`")]
    NoPolicy(PolicyVersion),
}

impl Store {
    /// Starts an experiment, and keeps the challenger's bundle when it comes along. Gives the event's place. Blocks until the commit:
    /// for threads outside the async runtime.
    ///
    /// # Errors
    /// When it is not on disk; inside, when it was refused.
    pub fn start_experiment(
        &self,
        bundle: Option<NewPolicy>,
        experiment: Experiment,
    ) -> Result<Result<Seq, NotStarted>, StoreError> {
        self.perform_blocking(move |log| {
            if let Some(stage) = running(log)? {
                return Ok(Err(NotStarted::Running(stage.experiment.name)));
            }
            if let Some(bundle) = &bundle {
                keep(log, bundle)?;
            }
            if !is_kept(log, &experiment.policy)? {
                return Ok(Err(NotStarted::NoPolicy(experiment.policy)));
            }
            log.append(EventBody::Admin(AdminEvent::ExperimentStarted { experiment })).map(Ok)
        })
    }

    /// Gives the challenger a larger share; nothing when the experiment is not in that stage any more. Blocks as above.
    ///
    /// # Errors
    /// When it is not on disk, also because another replica leads by now.
    pub fn ramp_experiment(&self, lead: Lead, stage: &Stage, to: f64) -> Result<Option<Seq>, StoreError> {
        let (name, from) = (stage.experiment.name.clone(), stage.share);
        self.in_stage(stage.since, Some(lead), move |log, _| {
            log.append(EventBody::Admin(AdminEvent::ExperimentRamped { name, from, to }))
        })
    }

    /// Ends the experiment whose stage began at `since`; promoted, its challenger takes over in the same transaction. Nothing when it is
    /// not in that stage any more. Operators do it without the lead. Blocks as above.
    ///
    /// # Errors
    /// When it is not on disk, also because another replica leads by now.
    pub fn end_experiment(
        &self,
        lead: Option<Lead>,
        since: Seq,
        end: ExperimentEnd,
        why: String,
    ) -> Result<Option<Seq>, StoreError> {
        self.in_stage(since, lead, move |log, stage| {
            let Experiment { name, policy, .. } = stage.experiment;
            let seq = log.append(EventBody::Admin(AdminEvent::ExperimentEnded { name, end, why }))?;
            match end {
                ExperimentEnd::Promoted => take_over(log, &policy),
                ExperimentEnd::RolledBack | ExperimentEnd::Stopped => Ok(seq),
            }
        })
    }

    fn in_stage(
        &self,
        since: Seq,
        lead: Option<Lead>,
        act: impl FnOnce(&mut Log<'_>, Stage) -> Result<Seq, StoreError> + Send + 'static,
    ) -> Result<Option<Seq>, StoreError> {
        self.perform_blocking(move |log| {
            if let Some(lead) = lead {
                log.lead(lead.0)?;
            }
            match running(log)? {
                Some(stage) if stage.since == since => act(log, stage).map(Some),
                _ => Ok(None),
            }
        })
    }

    /// What operators did up to `upto`, in order; rows that cannot be read are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn admin_events(&self, upto: Seq) -> Result<Vec<Event>, StoreError> {
        self.readers().with(|db| admin_events(db, upto))
    }
}

fn admin_events(db: Db<'_>, upto: Seq) -> DbResult<Vec<Event>> {
    let sql = concat!(
        "SELECT ",
        event_columns!(),
        " FROM events e WHERE e.kind = 'admin' AND e.seq <= ?1 ORDER BY e.seq"
    );
    let rows = db.query(sql, params![upto.0], read)?;
    Ok(rows.into_iter().filter_map(|row| row.event.ok()).collect())
}

fn running(log: &Log<'_>) -> Result<Option<Stage>, StoreError> {
    let events =
        admin_events(log.db(), Seq(i64::MAX as u64)).map_err(StoreError::doing("reading the log"))?;
    Ok(stage(&events))
}

/// The experiment that runs after these events.
pub fn stage(events: &[Event]) -> Option<Stage> {
    events.iter().fold(None, |running, event| match &event.body {
        EventBody::Admin(admin) => Stage::after(running, admin, event.seq, event.at),
        _ => running,
    })
}
