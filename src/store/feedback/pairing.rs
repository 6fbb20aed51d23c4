//! Which ratings meet on one decision: a person's, and those of everything else. The learner calibrates the others on such pairs.

use super::super::StoreError;
use super::super::db::params;
use super::super::log::Log;
use super::{LEARNED_METRIC, logged};
use crate::domain::{Feedback, Overlap, Source};

/// What is calibrated against persons.
const CALIBRATED: [Source; 3] = [Source::Code, Source::Judge, Source::Implicit];

/// What the other side says of the same decision at the moment; nothing for reports that teach nothing.
pub(super) fn counterparts(log: &Log<'_>, feedback: &Feedback) -> Result<Vec<Overlap>, StoreError> {
    if feedback.tick == 0 || feedback.versus.is_some() {
        return Ok(Vec::new());
    }
    let Some(own) = feedback.instrument() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    if feedback.source == Source::User {
        for source in CALIBRATED {
            let theirs = holding(log, feedback, source)?;
            let pair = theirs.filter(|t| t.tick > 0).and_then(|t| Some((t.instrument()?, t.value?)));
            found.extend(pair.map(|(instrument, value)| Overlap { instrument, value, tick: feedback.tick }));
        }
    } else if let Some(theirs) = holding(log, feedback, Source::User)? {
        let value = theirs.value.filter(|_| theirs.tick > 0);
        found.extend(value.map(|value| Overlap { instrument: own, value, tick: theirs.tick }));
    }
    Ok(found)
}

fn holding(log: &Log<'_>, feedback: &Feedback, source: Source) -> Result<Option<Box<Feedback>>, StoreError> {
    let sql = "SELECT seq FROM reports WHERE decision = ?1 AND name = ?2 AND source = ?3 AND rated = 1";
    let bound = params![feedback.decision.as_bytes(), LEARNED_METRIC, source.as_str()];
    let seq: Option<i64> =
        log.db().first(sql, bound, |row| row.get(0)).map_err(StoreError::doing("finding a counterpart"))?;
    Ok(seq.map(|seq| logged(log, seq)).transpose()?.map(|(_, feedback)| feedback))
}
