//! `GET /v1/models`: routes and arms in OpenAI's form, with prices and capabilities as aggregators give them.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Json;
use serde_json::{Value, json};

use super::error::HttpError;
use super::{Api, auth, headers};
use crate::domain::Arm;
use crate::service::{Destination, LiveRoute, ServiceError};

/// Lists the routes, then the models: those that the key may ask for.
#[utoipa::path(
    get, path = "/v1/models", tag = "inference",
    responses(
        (status = 200, description = "Routes and models", body = super::openapi::ModelList),
        (status = "default", description = "An error", body = super::openapi::ErrorBody),
    )
)]
pub(super) async fn list(
    State(api): State<Api>,
    Extension(key): Extension<auth::Caller>,
    headers: HeaderMap,
) -> Result<Json<Value>, HttpError> {
    let (service, caller) = (api.service(), headers::caller(&headers, &key)?);
    let routes = service.routes_of(&caller).into_iter().map(of_route);
    let arms = service.fleet.arms().into_iter().filter(|arm| service.may_name(&caller, &arm.id));
    let data: Vec<_> = routes.chain(arms.map(|arm| of_arm(&api, arm))).collect();
    Ok(Json(json!({"object": "list", "data": data})))
}

/// One of them; ids hold slashes.
#[utoipa::path(
    get, path = "/v1/models/{id}", tag = "inference",
    params(("id" = String, Path, description = "A route or a model")),
    responses(
        (status = 200, description = "The route or model", body = super::openapi::Model),
        (status = "default", description = "An error", body = super::openapi::ErrorBody),
    )
)]
pub(super) async fn get(
    State(api): State<Api>,
    Path(id): Path<String>,
    Extension(key): Extension<auth::Caller>,
    headers: HeaderMap,
) -> Result<Json<Value>, HttpError> {
    let caller = headers::caller(&headers, &key)?;
    let found = api.service().destination_of(&id, &caller, "model").map_err(|error| match error {
        // What a key may not ask for is not there for it.
        ServiceError::NotAllowed { model, .. } => ServiceError::UnknownModel { model, known: "…".into() },
        other => other,
    })?;
    Ok(Json(match found {
        Destination::Route(route, _) => of_route(&route),
        Destination::Arm(arm) => of_arm(&api, &arm),
    }))
}

fn of_route(live: &LiveRoute) -> Value {
    let route = &live.route;
    json!({
        "id": route.name, "object": "model", "created": 0, "owned_by": "pointsman",
        "pointsman": {
            "kind": "route", "strategy": route.strategy.kind(), "models": route.arms, "default": route.default,
            "preference": route.preference, "constraints": route.constraints,
        },
    })
}

/// Prices in USD per token, as strings: the form that readers of OpenRouter's list expect.
fn of_arm(api: &Api, arm: &Arm) -> Value {
    let per_token = |per_million: f64| format!("{}", per_million / 1e6);
    json!({
        "id": arm.id, "object": "model", "created": 0, "owned_by": arm.provider,
        "context_length": arm.limits.context_window,
        "pricing": {
            "prompt": per_token(arm.price.input), "completion": per_token(arm.price.output),
            "input_cache_read": per_token(arm.price.cached_input.unwrap_or(arm.price.input)),
            "input_cache_write": per_token(arm.price.cache_write.unwrap_or(arm.price.input)),
            "internal_reasoning": per_token(arm.price.reasoning.unwrap_or(arm.price.output)),
        },
        "pointsman": {
            "kind": "model", "provider_model": arm.model, "max_output_tokens": arm.limits.max_output,
            "capabilities": arm.capabilities, "status": api.service().status(&arm.id),
        },
    })
}
