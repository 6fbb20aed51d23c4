//! `/admin/policies` and `/admin/experiments`: what is in place, what is being tried, and the orders to change it.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Api;
use super::super::body::Incoming;
use super::super::error::HttpError;
use crate::domain::{
    CanaryGuard, CanaryGuards, Experiment, ExperimentEnd, ExperimentName, PolicyVersion, RouteName, Seq,
    share_of,
};
use crate::service::{PolicyChangeError, Service};
use crate::store::NotStarted;

/// Which bundle.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Promotion {
    policy: PolicyVersion,
}

/// The terms of an experiment; `share` as `"5%"` or `0.05`, guards by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Terms {
    name: ExperimentName,
    policy: PolicyVersion,
    #[serde(default)]
    route: Option<RouteName>,
    share: Value,
    #[serde(default)]
    guards: Option<BTreeMap<String, f64>>,
}

/// What serves, what runs beside it and what each guard says, the bundles that are kept, what was promoted, and past experiments.
#[utoipa::path(
    get, path = "/admin/policies", tag = "admin",
    responses(
        (status = 200, description = "Policies", body = crate::http::openapi::PoliciesView),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn get(State(api): State<Api>) -> Result<Response, HttpError> {
    let view = blocking(&api, |service| Ok(service.policies()?)).await?;
    Ok(Json(view).into_response())
}

/// What `/admin/policies` shows, the experiment among it.
#[utoipa::path(
    get, path = "/admin/experiments", tag = "admin",
    responses(
        (status = 200, description = "Policies", body = crate::http::openapi::PoliciesView),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn experiments(state: State<Api>) -> Result<Response, HttpError> {
    get(state).await
}

/// A kept bundle takes over for all of the traffic.
#[utoipa::path(
    post, path = "/admin/policies/promote", tag = "admin",
    request_body(content = crate::http::openapi::PromotionBody),
    responses(
        (status = 200, description = "It is in the log", body = crate::http::openapi::Ordered),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn promote(
    State(api): State<Api>,
    incoming: Incoming,
) -> Result<Response, HttpError> {
    let Promotion { policy } = super::read(&incoming)?;
    let order = Order { who: super::who(&incoming), what: "policy_promoted", subject: policy.to_string() };
    ordered(&api, order, move |service| service.promote(&policy)).await
}

/// Takes a running challenger back; without one, the bundle before the one in place takes over again.
#[utoipa::path(
    post, path = "/admin/policies/rollback", tag = "admin",
    request_body(content = crate::http::openapi::Empty),
    responses(
        (status = 200, description = "It is in the log", body = crate::http::openapi::Ordered),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn roll_back(
    State(api): State<Api>,
    incoming: Incoming,
) -> Result<Response, HttpError> {
    super::read_no_words(&incoming)?;
    let order = Order { who: super::who(&incoming), what: "policy_rolled_back", subject: String::new() };
    ordered(&api, order, Service::roll_back).await
}

/// A kept bundle gets a share of the traffic, more while every guard holds, and is taken back when one fails.
#[utoipa::path(
    post, path = "/admin/experiments", tag = "admin",
    request_body(content = crate::http::openapi::ExperimentBody),
    responses(
        (status = 200, description = "It is in the log", body = crate::http::openapi::Ordered),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn start(
    State(api): State<Api>,
    incoming: Incoming,
) -> Result<Response, HttpError> {
    let experiment = experiment(super::read(&incoming)?)?;
    let subject = experiment.name.to_string();
    let order = Order { who: super::who(&incoming), what: "experiment_started", subject };
    ordered(&api, order, move |service| service.start_experiment(experiment)).await
}

/// Ends the experiment of that name: `promote`, `rollback` or `stop`.
#[utoipa::path(
    post, path = "/admin/experiments/{name}/{order}", tag = "admin",
    params(
        ("name" = String, Path, description = "The experiment that runs"),
        ("order" = String, Path, description = "`promote`, `rollback` or `stop`"),
    ),
    request_body(content = crate::http::openapi::Empty),
    responses(
        (status = 200, description = "It is in the log", body = crate::http::openapi::Ordered),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn end(
    State(api): State<Api>,
    Path((name, order)): Path<(String, String)>,
    incoming: Incoming,
) -> Result<Response, HttpError> {
    super::read_no_words(&incoming)?;
    let (end, what) = match order.as_str() {
        "promote" => (ExperimentEnd::Promoted, "experiment_promoted"),
        "rollback" => (ExperimentEnd::RolledBack, "experiment_rolled_back"),
        "stop" => (ExperimentEnd::Stopped, "experiment_stopped"),
        _ => {
            let message = "an experiment takes the orders promote, rollback and stop";
            return Err(HttpError::invalid_request(StatusCode::NOT_FOUND, "not_found", message));
        }
    };
    let name = ExperimentName::new(name);
    let order = Order { who: super::who(&incoming), what, subject: name.to_string() };
    ordered(&api, order, move |service| service.end_experiment(Some(&name), end)).await
}

fn experiment(terms: Terms) -> Result<Experiment, HttpError> {
    let share = match &terms.share {
        Value::String(text) => share_of(text),
        other => other.as_f64(),
    };
    let share = share.ok_or_else(|| {
        HttpError::invalid_field("share", format!("must be like \"5%\" or 0.05, got {}", terms.share))
    })?;
    let guard = |(name, limit): (String, f64)| {
        let guard: CanaryGuard =
            name.parse().map_err(|why: String| HttpError::invalid_field("guards", format!(": {why}")))?;
        Ok((guard, limit))
    };
    let guards = match terms.guards {
        Some(guards) => guards.into_iter().map(guard).collect::<Result<CanaryGuards, HttpError>>()?,
        None => CanaryGuards::from(CanaryGuard::ALL),
    };
    Ok(Experiment { name: terms.name, route: terms.route, policy: terms.policy, share, guards })
}

/// What the audit table keeps of an order.
struct Order {
    who: String,
    what: &'static str,
    subject: String,
}

async fn ordered(
    api: &Api,
    order: Order,
    act: impl FnOnce(&Service) -> Result<Seq, PolicyChangeError> + Send + 'static,
) -> Result<Response, HttpError> {
    let event = blocking(api, act).await?;
    let noted = api.service().store.note_order(order.who, order.what, &order.subject).await;
    if let Err(error) = noted {
        tracing::error!(%error, what = order.what, "an order was carried out and is not in the audit table");
    }
    Ok(Json(json!({"event": event})).into_response())
}

async fn blocking<T: Send + 'static>(
    api: &Api,
    act: impl FnOnce(&Service) -> Result<T, PolicyChangeError> + Send + 'static,
) -> Result<T, HttpError> {
    let service = api.service();
    let done = tokio::task::spawn_blocking(move || act(&service)).await;
    done.map_err(|cause| HttpError::no_store(&cause, "the order was interrupted".to_owned()))?
        .map_err(refusal)
}

fn refusal(error: PolicyChangeError) -> HttpError {
    let said = error.to_string();
    let refused = |status, code| HttpError::invalid_request(status, code, said.clone());
    match &error {
        PolicyChangeError::Terms(terms) => HttpError::invalid_field(terms.field, said),
        PolicyChangeError::NotStarted(NotStarted::Running(_)) => {
            refused(StatusCode::CONFLICT, "experiment_running")
        }
        PolicyChangeError::NotStarted(NotStarted::NoPolicy(_)) | PolicyChangeError::NoPolicy(_) => {
            refused(StatusCode::NOT_FOUND, "unknown_policy")
        }
        PolicyChangeError::NoRoute(_) => refused(StatusCode::NOT_FOUND, "unknown_route"),
        PolicyChangeError::NoExperiment => refused(StatusCode::NOT_FOUND, "unknown_experiment"),
        PolicyChangeError::NothingBefore => refused(StatusCode::CONFLICT, "nothing_before"),
        PolicyChangeError::Store(cause) => HttpError::no_store(cause, said.clone()),
    }
}
