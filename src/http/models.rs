//! `GET /v1/models`: routes and arms in OpenAI's form, with prices and capabilities as aggregators give them.

use axum::extract::{Path, State};
use axum::response::Json;
use serde_json::{Value, json};

use super::Api;
use super::error::HttpError;
use crate::domain::Arm;
use crate::service::{Destination, LiveRoute};

/// Lists the routes, then the arms.
#[utoipa::path(
    get, path = "/v1/models", tag = "inference",
    responses(
        (status = 200, description = "Routes and models", body = super::openapi::ModelList),
        (status = "default", description = "An error", body = super::openapi::ErrorBody),
    )
)]
pub(super) async fn list(State(api): State<Api>) -> Json<Value> {
    let fleet = &api.service.fleet;
    let routes = fleet.routes().into_iter().map(|r| of_route(r));
    let arms = fleet.arms().into_iter().map(|a| of_arm(&api, a));
    Json(json!({"object": "list", "data": routes.chain(arms).collect::<Vec<_>>()}))
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
pub(super) async fn get(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, HttpError> {
    Ok(Json(match api.service.fleet.destination(&id)? {
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
        },
        "pointsman": {
            "kind": "model", "provider_model": arm.model, "max_output_tokens": arm.limits.max_output,
            "capabilities": arm.capabilities, "status": api.service.status(&arm.id),
        },
    })
}
