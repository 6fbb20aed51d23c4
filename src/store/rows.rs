//! Rows of the log to and from events. Floats survive bit for bit: feature vectors as bytes, other numbers by
//! serde_json's exact round trip.

use uuid::Uuid;

use super::db::{DbError, Result as DbResult, Row};
use crate::domain::{Context, DecisionId, Event, EventBody, FeatureSchema, Seq, UnixMs};

/// One row that a scan came across.
#[derive(Debug, Clone, PartialEq)]
pub struct ScannedRow {
    /// Its place.
    pub seq: Seq,
    /// The event, or why the row cannot be read.
    pub event: Result<Event, String>,
}

/// An event in its written form.
pub(super) struct Written {
    pub(super) kind: &'static str,
    pub(super) decision: Option<DecisionId>,
    pub(super) body: String,
    pub(super) schema: Option<FeatureSchema>,
    pub(super) features: Option<Vec<u8>>,
}

/// Columns that [`read`] wants, in its order.
macro_rules! event_columns {
    () => {
        "e.seq, e.at_ms, e.body, e.schema, e.features"
    };
}
pub(super) use event_columns;

/// The written form; the context is moved out of the JSON into columns of its own.
pub(super) fn write(body: &mut EventBody) -> Result<Written, serde_json::Error> {
    let (kind, decision) = match body {
        EventBody::Decided(d) => ("decided", Some(d.id)),
        EventBody::Completed(c) => ("completed", Some(c.decision)),
        EventBody::Feedback(f) => ("feedback", Some(f.decision)),
        EventBody::Admin(_) => ("admin", None),
    };
    let context = match body {
        EventBody::Decided(d) => d.context.take(),
        _ => None,
    };
    let json = serde_json::to_string(body);
    let schema = context.as_ref().map(|c| c.schema().clone());
    let features =
        context.as_ref().map(|c| c.features().iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
    if let EventBody::Decided(d) = body {
        d.context = context;
    }
    Ok(Written { kind, decision, body: json?, schema, features })
}

/// Reads the columns of [`event_columns`]; a damaged row is told, not fatal.
pub(super) fn read(row: &Row<'_>) -> DbResult<ScannedRow> {
    let seq = Seq(from_sql_int(row.get(0)?));
    Ok(ScannedRow { seq, event: parse(row, seq) })
}

fn parse(row: &Row<'_>, seq: Seq) -> Result<Event, String> {
    let at = UnixMs(row.get(1).map_err(told)?);
    let json = row.raw(2).map_err(told)?.ok_or("the body is missing")?;
    let mut body: EventBody = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    if let (EventBody::Decided(decision), Some(features)) = (&mut body, row.raw(4).map_err(told)?) {
        let schema = row.raw(3).map_err(told)?.ok_or("the feature vector has no schema")?;
        let schema = std::str::from_utf8(schema).map_err(|e| e.to_string())?;
        decision.context = Some(context(schema, features)?);
    }
    Ok(Event { seq, at, body })
}

fn told(error: DbError) -> String {
    error.to_string()
}

fn context(schema: &str, features: &[u8]) -> Result<Context, String> {
    let (values, rest) = features.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("the feature vector has {} bytes, not a multiple of 4", features.len()));
    }
    let values: Vec<f32> = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
    Context::new(FeatureSchema::new(schema), values).map_err(|e| e.to_string())
}

/// A sequence number as the databases hold it.
pub(super) fn sql_int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The reverse of [`sql_int`]; a negative number, which we never write, becomes 0.
pub(super) fn from_sql_int(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// A decision id from its column.
pub(super) fn decision_id(bytes: [u8; 16]) -> DecisionId {
    DecisionId::from_uuid(Uuid::from_bytes(bytes))
}
