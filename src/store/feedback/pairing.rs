//! Which ratings meet on one decision: a judge's and a person's. The learner calibrates judges on such pairs.

use rusqlite::{OptionalExtension, params};

use super::super::StoreError;
use super::super::log::Log;
use super::{LEARNED_METRIC, logged};
use crate::domain::{Feedback, Paired, Source};

/// What the other kind of source says of the same decision at the moment; nothing for reports that teach nothing.
pub(super) fn counterpart(log: &Log<'_>, feedback: &Feedback) -> Result<Option<Paired>, StoreError> {
    if feedback.tick == 0 || feedback.versus.is_some() || feedback.episode.is_some() {
        return Ok(None);
    }
    match (&feedback.judged, feedback.source) {
        (Some(judged), _) => {
            let theirs = holding(log, feedback, Source::User)?.and_then(|theirs| theirs.value);
            Ok(theirs.map(|value| Paired { judge: judged.by.clone(), value }))
        }
        (None, Source::User) => {
            let judge = holding(log, feedback, Source::Judge)?;
            Ok(judge.and_then(|j| Some(Paired { value: j.value?, judge: j.judged?.by })))
        }
        (None, _) => Ok(None),
    }
}

fn holding(log: &Log<'_>, feedback: &Feedback, source: Source) -> Result<Option<Box<Feedback>>, StoreError> {
    let seq: Option<i64> = log
        .tx()
        .prepare_cached(
            "SELECT seq FROM reports WHERE decision = ?1 AND name = ?2 AND source = ?3 AND rated = 1",
        )
        .and_then(|mut select| {
            let bound = params![feedback.decision.as_bytes(), LEARNED_METRIC, source.as_str()];
            select.query_row(bound, |row| row.get(0)).optional()
        })
        .map_err(StoreError::sqlite("finding a counterpart"))?;
    Ok(seq.map(|seq| logged(log, seq)).transpose()?.map(|(_, feedback)| feedback))
}
