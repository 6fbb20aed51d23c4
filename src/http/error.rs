//! Causes to statuses: the one exhaustive match. Bodies have OpenAI's shape, so that SDKs raise the right exception; internal text
//! never reaches a client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde_json::{Value, json};

use super::headers;
use crate::dispatch::{Hindrance, Refused};
use crate::domain::{Attempt, AttemptEnd};
use crate::provider::ProviderError;
use crate::service::{ConfigFault, Head, Refusal, ServiceError};
use crate::wire::WireErrorKind;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// What a client is told to wait when nothing better is known.
const RETRY_AFTER_MS: u64 = 1000;

/// An answer that is an error. Boxed: results carry it, and it is rare.
#[derive(Debug)]
pub(super) struct HttpError(Box<Fault>);

#[derive(Debug)]
struct Fault {
    status: StatusCode,
    /// OpenAI's `type`.
    kind: &'static str,
    code: String,
    message: String,
    param: Option<String>,
    retry_after_ms: Option<u64>,
    attempts: Vec<Attempt>,
    head: Option<Box<Head>>,
    budget: Option<BudgetFault>,
    config: Option<ConfigFaults>,
}

/// The body of an error, kept beside it for paths whose clients expect another shape.
#[derive(Debug, Clone)]
pub(super) struct ErrorObject(pub(super) Value);

/// A configuration that is not taken over.
#[derive(Debug)]
struct ConfigFaults {
    file: PathBuf,
    faults: Vec<ConfigFault>,
}

/// The budget that cannot pay.
#[derive(Debug)]
struct BudgetFault {
    scope: String,
    period: &'static str,
    resets_at_ms: i64,
}

impl HttpError {
    fn new(status: StatusCode, kind: &'static str, code: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Fault {
            status,
            kind,
            code: code.to_owned(),
            message: message.into(),
            param: None,
            retry_after_ms: None,
            attempts: Vec::new(),
            head: None,
            budget: None,
            config: None,
        }))
    }

    fn with_param(mut self, param: Option<String>) -> Self {
        self.0.param = param;
        self
    }

    fn with_retry_after(mut self, ms: Option<u64>) -> Self {
        self.0.retry_after_ms = ms;
        self
    }

    fn with_budget(mut self, budget: BudgetFault) -> Self {
        self.0.budget = Some(budget);
        self
    }

    pub(super) fn invalid_request(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self::new(status, "invalid_request_error", code, message)
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::invalid_request(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn invalid_field(param: impl Into<String>, message: String) -> Self {
        let param = param.into();
        let message = if message.starts_with(&param) { message } else { format!("{param} {message}") };
        let error = Self::invalid_request(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", message);
        error.with_param(Some(param))
    }

    pub(super) fn invalid_config(message: String, file: &Path, faults: Vec<ConfigFault>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let mut error = Self::invalid_request(status, "invalid_config", message);
        error.0.config = Some(ConfigFaults { file: file.to_owned(), faults });
        error
    }

    pub(super) fn stopping(message: String) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "server_error", "stopping", message).with_retry_after(Some(RETRY_AFTER_MS))
    }

    pub(super) fn unauthorized() -> Self {
        let message = "a valid API key is needed: send it as `Authorization: Bearer KEY` (make one with `pointsman keys create`)";
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", "unauthorized", message)
    }

    pub(super) fn no_path(path: &str) -> Self {
        let path: String = path.chars().take(120).collect();
        let message = format!("there is no path {path:?}; see /openapi.json");
        Self::invalid_request(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn forbidden(scope: &str) -> Self {
        let message = format!("this key lacks the scope {scope:?}");
        Self::new(StatusCode::FORBIDDEN, "permission_error", "forbidden", message)
    }

    pub(super) fn too_many_wrong_keys(wait_ms: u64) -> Self {
        let message = "too many wrong keys came from this address; try again later";
        let status = StatusCode::TOO_MANY_REQUESTS;
        let error = Self::new(status, "rate_limit_error", "rate_limit_exceeded", message);
        error.with_retry_after(Some(wait_ms))
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("the body is longer than {limit} bytes");
        Self::invalid_request(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(super) fn overloaded() -> Self {
        let message = "too many requests are in flight; try again in a moment";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "overloaded", message);
        error.with_retry_after(Some(RETRY_AFTER_MS))
    }

    pub(super) fn too_many_of_key(most: usize) -> Self {
        Self::overloaded_because(&format!(
            "this key has {most} requests in flight already; try again in a moment"
        ))
    }

    pub(super) fn body_too_slow(within: Duration) -> Self {
        let message = format!("the body did not come within {} s", within.as_secs_f64());
        Self::invalid_request(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
    }

    pub(super) fn no_stream() -> Self {
        bad_gateway("the provider's answer is no stream")
    }

    pub(super) fn body_cut() -> Self {
        Self::bad_request("the body ended before its end")
    }

    fn overloaded_because(message: &str) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "overloaded", message);
        error.with_retry_after(Some(RETRY_AFTER_MS))
    }

    pub(super) fn unreadable_answer() -> Self {
        bad_gateway("the provider's answer could not be read")
    }

    pub(super) fn unsupported_media_type(found: &str) -> Self {
        let found: String = found.chars().take(80).collect();
        let message = format!("the content type must be application/json, got {found:?}");
        Self::invalid_request(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_request", message)
    }

    pub(super) fn no_store(cause: &dyn std::fmt::Display, message: String) -> Self {
        tracing::error!(%cause, "the store is not available");
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let error = Self::new(unavailable, "server_error", "store_unavailable", message);
        error.with_retry_after(Some(RETRY_AFTER_MS))
    }

    /// The error object alone, for one item of several and for streams.
    pub(super) fn body(&self) -> Value {
        let mut metadata = serde_json::Map::new();
        if let Some(head) = &self.0.head {
            metadata.insert("decision_id".into(), json!(head.decision));
        }
        if !self.0.attempts.is_empty() {
            metadata.insert("attempts".into(), json!(self.0.attempts));
        }
        if let Some(ms) = self.0.retry_after_ms {
            metadata.insert("retry_after_ms".into(), json!(ms));
        }
        if let Some(b) = &self.0.budget {
            let named = json!({"scope": b.scope, "period": b.period, "resets_at_ms": b.resets_at_ms});
            metadata.insert("budget".into(), named);
        }
        if let Some(config) = &self.0.config {
            metadata.insert("file".into(), json!(config.file.display().to_string()));
            metadata.insert("faults".into(), json!(config.faults));
        }
        json!({"error": {
            "message": self.0.message, "type": self.0.kind, "param": self.0.param, "code": self.0.code, "metadata": metadata,
        }})
    }

    /// The status, for an item of several.
    pub(super) fn status(&self) -> u16 {
        self.0.status.as_u16()
    }
}

impl From<ServiceError> for HttpError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Wire(e) => match e.kind {
                WireErrorKind::Malformed => Self::bad_request(e.message),
                WireErrorKind::InvalidField | WireErrorKind::Untranslatable => {
                    let error =
                        Self::invalid_request(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", e.message);
                    error.with_param(e.param)
                }
            },
            ServiceError::InvalidField { param, message } => Self::invalid_field(param, message),
            ServiceError::UnknownModel { .. } => {
                let error =
                    Self::invalid_request(StatusCode::NOT_FOUND, "model_not_found", error.to_string());
                error.with_param(Some("model".into()))
            }
            ServiceError::NotAllowed { param, .. } => {
                let status = StatusCode::FORBIDDEN;
                let error = Self::new(status, "permission_error", "route_not_allowed", error.to_string());
                error.with_param(Some(param.into()))
            }
            ServiceError::RateLimited(denied) => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                let error = Self::new(status, "rate_limit_error", "rate_limit_exceeded", error.to_string());
                error.with_retry_after(Some(denied.wait_ms))
            }
            ServiceError::BudgetExceeded(ref denied) => {
                let wait = denied.resets_in_ms;
                let status = StatusCode::TOO_MANY_REQUESTS;
                let error = Self::new(status, "insufficient_quota", "budget_exceeded", error.to_string());
                error.with_retry_after(Some(wait)).with_budget(BudgetFault {
                    scope: denied.scope.to_string(),
                    period: denied.denied.period.as_str(),
                    resets_at_ms: denied.denied.resets_at.0,
                })
            }
            ServiceError::NoEligibleArm(e) => {
                Self::invalid_request(StatusCode::UNPROCESSABLE_ENTITY, "no_eligible_arm", e.to_string())
            }
            ServiceError::Upstream { attempts, cause, .. } => upstream(&cause, attempts),
            ServiceError::NobodyAsked { refused, .. } => nobody_asked(refused),
            ServiceError::StreamCut { cause, .. } => upstream(&cause, Vec::new()),
            ServiceError::UnknownDecision(_) => {
                Self::invalid_request(StatusCode::NOT_FOUND, "unknown_decision", error.to_string())
            }
            ServiceError::FeedbackConflict => {
                Self::invalid_request(StatusCode::CONFLICT, "feedback_conflict", error.to_string())
            }
            ServiceError::NoEncoder => {
                Self::invalid_request(StatusCode::NOT_IMPLEMENTED, "no_encoder", error.to_string())
            }
            ServiceError::FeedbackClosed => {
                Self::invalid_request(StatusCode::GONE, "feedback_closed", error.to_string())
            }
            ServiceError::EncoderBusy => Self::overloaded_because(&error.to_string()),
            ServiceError::Store(ref cause) => Self::no_store(cause, error.to_string()),
        }
    }
}

impl From<Refusal> for HttpError {
    fn from(refusal: Refusal) -> Self {
        let mut error = Self::from(refusal.error);
        error.0.head = refusal.head;
        error
    }
}

/// What a failed call of a provider means for the client. Texts of a provider pass on only where it judged the request itself.
fn upstream(cause: &ProviderError, attempts: Vec<Attempt>) -> HttpError {
    let mut tried: Vec<_> = attempts.iter().map(|a| &a.arm).collect();
    tried.sort();
    tried.dedup();
    let several = tried.len() > 1;
    let retry_after = cause.retry_after().map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    let mut error = match cause.attempt_end() {
        AttemptEnd::BadRequest => refused_by_provider(cause),
        _ if several => {
            let message = "no model answered: every candidate failed";
            let error =
                HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "no_provider", message);
            error.with_retry_after(retry_after.or(Some(RETRY_AFTER_MS)))
        }
        AttemptEnd::RateLimited => {
            let message = "the provider limits our rate";
            let error =
                HttpError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "rate_limited", message);
            error.with_retry_after(retry_after.or(Some(RETRY_AFTER_MS)))
        }
        _ if *cause == ProviderError::ConnectTimeout => {
            gateway_timeout("the provider could not be reached in time")
        }
        AttemptEnd::FirstByteTimeout | AttemptEnd::TotalTimeout => {
            gateway_timeout("the model did not answer in time")
        }
        AttemptEnd::Connect => bad_gateway("the provider could not be reached"),
        AttemptEnd::Credentials => bad_gateway("the provider refused the service's credentials"),
        AttemptEnd::Malformed => bad_gateway("the provider's answer could not be read"),
        AttemptEnd::ServerError | AttemptEnd::Answered | AttemptEnd::Cancelled => {
            bad_gateway("the provider failed")
        }
    };
    error.0.attempts = attempts;
    error
}

fn nobody_asked(refused: Refused) -> HttpError {
    let unavailable =
        |code, message| HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", code, message);
    let error = match refused.why {
        Hindrance::Credentials => bad_gateway("the provider refused the service's credentials"),
        Hindrance::Down => {
            unavailable("no_provider", "no model can be asked now: their calls have failed lately")
        }
        Hindrance::Busy => {
            unavailable("overloaded", "no model can be asked now: too many calls are in flight")
        }
        Hindrance::RateLimited => {
            let message = "the provider limits our rate";
            HttpError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "rate_limited", message)
        }
    };
    error.with_retry_after(Some(u64::try_from(refused.left.as_millis()).unwrap_or(u64::MAX)))
}

fn gateway_timeout(message: &str) -> HttpError {
    HttpError::new(StatusCode::GATEWAY_TIMEOUT, "server_error", "upstream_timeout", message)
}

fn bad_gateway(message: &str) -> HttpError {
    HttpError::new(StatusCode::BAD_GATEWAY, "server_error", "upstream_error", message)
}

/// The provider judged the request wrong: its class, message and code pass on, for agents act on `context_length_exceeded`.
fn refused_by_provider(cause: &ProviderError) -> HttpError {
    let status = cause.status().and_then(|s| StatusCode::from_u16(s).ok()).unwrap_or(StatusCode::BAD_REQUEST);
    if let ProviderError::Untranslatable(said) = cause {
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        let error = HttpError::invalid_request(unprocessable, "invalid_field", said.message.clone());
        return error.with_param(said.param.clone());
    }
    let Some(said) = cause.upstream() else {
        return HttpError::invalid_request(status, "bad_request", cause.to_string());
    };
    let code = said.code.clone().unwrap_or_else(|| "bad_request".into());
    let error = HttpError::invalid_request(status, &code, said.message.clone());
    error.with_param(said.param.clone())
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let body = self.body();
        let mut response = (self.0.status, Json(&body)).into_response();
        response.extensions_mut().insert(ErrorObject(body));
        if let Some(head) = &self.0.head {
            headers::put(head, &mut response);
        }
        if !self.0.attempts.is_empty() {
            // We have retried already: an SDK that does so again multiplies the load.
            response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Some(ms) = self.0.retry_after_ms {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000).max(1)));
        }
        response
    }
}

pub(super) async fn no_such_path(request: Request) -> HttpError {
    HttpError::no_path(request.uri().path())
}

pub(super) async fn no_such_method(request: Request) -> HttpError {
    let message = format!("the path {:?} does not take {}", request.uri().path(), request.method());
    HttpError::invalid_request(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

/// A handler panicked: one request fails, the service goes on.
pub(super) fn panicked(payload: Box<dyn std::any::Any + Send>) -> Response {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("unknown"), "a handler panicked");
    HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal", "internal error")
        .into_response()
}
