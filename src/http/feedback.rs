//! `POST /feedback`: one report or several, each answered on its own.

use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use serde_json::{Map, Value, json};

use super::Api;
use super::body::Incoming;
use super::error::HttpError;
use crate::domain::{Source, Usage, Verdict};
use crate::service::{Caller, Subject};
use crate::store::Report;

/// Reports are small; this bounds one, or a full list of them.
const MAX_BODY_BYTES: usize = 1 << 20;
const MOST_REPORTS: usize = 100;
/// What a comparison cannot say.
const COMPARED: &[&str] = &["value", "verdict", "usage", "cost_usd", "latency_ms", "error"];
const TIED: [&str; 7] = ["loser", "value", "verdict", "usage", "cost_usd", "latency_ms", "error"];
const FIELDS: &[&str] = &[
    "decision_id",
    "winner",
    "loser",
    "tie",
    "session_id",
    "name",
    "value",
    "verdict",
    "source",
    "weight",
    "comment",
    "idempotency_key",
    "usage",
    "cost_usd",
    "latency_ms",
    "error",
];

/// Stores quality reports; answers after they are on disk.
#[utoipa::path(
    post, path = "/feedback", tag = "inference",
    request_body(content = super::openapi::FeedbackRequest),
    responses(
        (status = 200, description = "The report is on disk; of several, each has its own status", body = super::openapi::FeedbackAnswer),
        (status = "default", description = "An error; nothing of the report is kept", body = super::openapi::ErrorBody),
    )
)]
pub(super) async fn create(State(api): State<Api>, incoming: Incoming) -> Result<Response, HttpError> {
    let Incoming { caller, bytes } = incoming;
    let object = parse(&bytes)?;
    match object.get("feedback") {
        Some(list) => several(&api, &caller, list).await,
        None => Ok(Json(one(&api, &caller, &object).await?).into_response()),
    }
}

/// The body as an object.
pub(super) fn parse(bytes: &[u8]) -> Result<Map<String, Value>, HttpError> {
    if bytes.len() > MAX_BODY_BYTES {
        return Err(HttpError::too_large(MAX_BODY_BYTES));
    }
    match serde_json::from_slice(bytes).map_err(|e| unreadable(bytes, &e))? {
        Value::Object(object) => Ok(object),
        _ => Err(HttpError::bad_request("the body must be a JSON object")),
    }
}

async fn one(api: &Api, caller: &Caller, object: &Map<String, Value>) -> Result<Value, HttpError> {
    let (on, report) = read(object)?;
    let reported = api.service().feedback(&on, report, caller).await?;
    Ok(json!({"feedback_id": reported.feedback, "applied": true}))
}

async fn several(api: &Api, caller: &Caller, list: &Value) -> Result<Response, HttpError> {
    let reports = list.as_array().filter(|l| (1..=MOST_REPORTS).contains(&l.len()));
    let Some(reports) = reports else {
        return Err(HttpError::invalid_field(
            "feedback",
            format!("must be a list of 1 to {MOST_REPORTS} reports"),
        ));
    };
    let mut answers = Vec::with_capacity(reports.len());
    for report in reports {
        let answer = match report.as_object() {
            Some(object) => one(api, caller, object).await,
            None => Err(HttpError::bad_request("a report must be a JSON object")),
        };
        answers.push(answer.unwrap_or_else(|error| {
            let mut body = error.body();
            body["status"] = json!(error.status());
            body
        }));
    }
    Ok(Json(json!({"feedback": answers})).into_response())
}

/// JSON has no NaN and no infinity, yet clients send them: that is a number out of range, not broken JSON.
fn unreadable(bytes: &[u8], error: &serde_json::Error) -> HttpError {
    let around = String::from_utf8_lossy(bytes);
    let bare = |word: &str| {
        around.split(word).next().is_some_and(|before| before.len() < around.len() && outside_text(before))
    };
    if error.to_string().contains("number out of range") || bare("NaN") || bare("Infinity") {
        return HttpError::invalid_field("value", "must be a finite number between 0 and 1".into());
    }
    HttpError::bad_request(format!("the body is not JSON: {error}"))
}

/// Whether a position lies outside of every JSON string: an even number of unescaped quotes stands before it.
fn outside_text(before: &str) -> bool {
    let (mut inside, mut escaped) = (false, false);
    for c in before.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            _ => {}
        }
    }
    !inside
}

/// On what, and what it says.
pub(super) fn read(object: &Map<String, Value>) -> Result<(Subject, Report), HttpError> {
    if let Some(unknown) = object.keys().find(|k| !FIELDS.contains(&k.as_str())) {
        let shown: String = unknown.chars().take(60).collect();
        return Err(HttpError::invalid_field(
            shown,
            format!("is not a field of a report; there are: {}", FIELDS.join(", ")),
        ));
    }
    let on = subject(object)?;
    let report = Report {
        name: text(object, "name")?.unwrap_or_else(|| "quality".into()),
        value: value(object)?,
        verdict: verdict(object)?,
        source: source(object)?,
        weight: number(object, "weight")?.unwrap_or(1.0),
        comment: text(object, "comment")?,
        idempotency_key: text(object, "idempotency_key")?,
        usage: usage(object)?,
        cost_usd: number(object, "cost_usd")?,
        latency_ms: number(object, "latency_ms")?,
        error: text(object, "error")?,
        judged: None,
    };
    Ok((on, report))
}

/// What the report is on: exactly one of the four forms, and no field that has no meaning there.
fn subject(object: &Map<String, Value>) -> Result<Subject, HttpError> {
    let forms = ["decision_id", "winner", "tie", "session_id"];
    let mut named = forms.into_iter().filter(|form| given(object, form).is_some());
    let form = named.next().or(given(object, "loser").map(|_| "winner"));
    if let Some(second) = named.next() {
        let first = form.unwrap_or("decision_id");
        return Err(HttpError::invalid_field(
            second,
            format!("stands beside {first}; a report is on one thing"),
        ));
    }
    let id = |field: &str| {
        let must = || HttpError::invalid_field(field, "must name a decision or a completion".into());
        text(object, field)?.filter(|id| !id.is_empty()).ok_or_else(must)
    };
    let subject = match form {
        Some("winner") => Subject::Pair(id("winner")?, id("loser")?),
        Some("tie") => tie(object)?,
        Some("session_id") => Subject::Session(id("session_id")?),
        _ => Subject::Decision(id("decision_id")?),
    };
    let foreign: &[&str] = match subject {
        Subject::Decision(_) => &["loser"],
        Subject::Session(_) => &["loser", "usage", "cost_usd", "latency_ms", "error"],
        Subject::Pair(..) => COMPARED,
        Subject::Tie(..) => &TIED,
    };
    match foreign.iter().find(|field| given(object, field).is_some()) {
        Some(field) => {
            Err(HttpError::invalid_field(*field, "has no meaning in such a report; leave it out".into()))
        }
        None => Ok(subject),
    }
}

fn tie(object: &Map<String, Value>) -> Result<Subject, HttpError> {
    let ids: Option<Vec<&str>> = given(object, "tie")
        .and_then(Value::as_array)
        .and_then(|ids| ids.iter().map(Value::as_str).collect());
    match ids.as_deref() {
        Some([one, other]) => Ok(Subject::Tie((*one).into(), (*other).into())),
        _ => Err(HttpError::invalid_field(
            "tie",
            "must be a list of two ids of decisions or completions".into(),
        )),
    }
}

fn given<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a Value> {
    object.get(field).filter(|v| !v.is_null())
}

fn text(object: &Map<String, Value>, field: &str) -> Result<Option<String>, HttpError> {
    given(object, field)
        .map(|v| {
            v.as_str()
                .map(str::to_owned)
                .ok_or_else(|| HttpError::invalid_field(field, "must be a text".into()))
        })
        .transpose()
}

fn number(object: &Map<String, Value>, field: &str) -> Result<Option<f64>, HttpError> {
    given(object, field)
        .map(|v| v.as_f64().ok_or_else(|| HttpError::invalid_field(field, "must be a number".into())))
        .transpose()
}

fn value(object: &Map<String, Value>) -> Result<Option<f64>, HttpError> {
    match given(object, "value") {
        Some(Value::Bool(yes)) => Ok(Some(if *yes { 1.0 } else { 0.0 })),
        Some(Value::Number(_)) | None => number(object, "value"),
        Some(_) => {
            Err(HttpError::invalid_field("value", "must be a number between 0 and 1, or a boolean".into()))
        }
    }
}

fn verdict(object: &Map<String, Value>) -> Result<Option<Verdict>, HttpError> {
    let must = "must be good_fit, underpowered, overprovisioned or failed";
    one_of(object, "verdict", must)
}

fn source(object: &Map<String, Value>) -> Result<Source, HttpError> {
    Ok(one_of(object, "source", "must be user, code, judge or implicit")?.unwrap_or_default())
}

fn one_of<T: serde::de::DeserializeOwned>(
    object: &Map<String, Value>,
    field: &str,
    must: &str,
) -> Result<Option<T>, HttpError> {
    given(object, field)
        .map(|v| serde_json::from_value(v.clone()).map_err(|_| HttpError::invalid_field(field, must.into())))
        .transpose()
}

fn usage(object: &Map<String, Value>) -> Result<Option<Usage>, HttpError> {
    let must = "must hold input_tokens and output_tokens as whole numbers";
    let usage: Option<Usage> = one_of(object, "usage", must)?;
    match usage.filter(|u| u.cached_tokens > u.input_tokens || u.reasoning_tokens > u.output_tokens) {
        Some(_) => Err(HttpError::invalid_field(
            "usage",
            "must not hold more cached or reasoning tokens than tokens".into(),
        )),
        None => Ok(usage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(body: &str) -> (u16, Value) {
        let error = match serde_json::from_str::<Value>(body) {
            Err(e) => unreadable(body.as_bytes(), &e),
            Ok(Value::Object(object)) => read(&object).unwrap_err(),
            Ok(_) => HttpError::bad_request("no object"),
        };
        (error.status(), error.body()["error"]["param"].clone())
    }

    #[test]
    fn each_bad_report_names_its_field() {
        let id = r#""decision_id": "x""#;
        assert_eq!(fault(&format!("{{{id}, \"value\": NaN}}")), (422, json!("value")));
        assert_eq!(fault(&format!("{{{id}, \"value\": -Infinity}}")), (422, json!("value")));
        assert_eq!(fault(&format!("{{{id}, \"value\": 1e999}}")), (422, json!("value")));
        assert_eq!(fault(&format!("{{{id}, \"value\": \"0.5\"}}")), (422, json!("value")));
        assert_eq!(fault(&format!("{{{id}, \"vlaue\": 1}}")), (422, json!("vlaue")));
        assert_eq!(fault(&format!("{{{id}, \"verdict\": \"meh\"}}")), (422, json!("verdict")));
        assert_eq!(fault(&format!("{{{id}, \"usage\": {{\"input_tokens\": -1}}}}")), (422, json!("usage")));
        assert_eq!(fault(r#"{"value": 1}"#), (422, json!("decision_id")));
        assert_eq!(fault(&format!("{{{id}, \"comment\": \"NaN\", ")), (400, Value::Null));
    }

    #[test]
    fn a_boolean_is_a_value_and_a_verdict_is_enough() {
        let read =
            |body: &str| read(serde_json::from_str::<Value>(body).unwrap().as_object().unwrap()).unwrap().1;
        assert_eq!(read(r#"{"decision_id": "x", "value": true}"#).value, Some(1.0));
        assert_eq!(read(r#"{"decision_id": "x", "verdict": "failed"}"#).verdict, Some(Verdict::Failed));
    }
}
