//! `POST /v1/embeddings`: the local encoder in OpenAI's form.

use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Api;
use super::body::Incoming;
use super::error::HttpError;
use crate::service::{EMBEDDING_MODEL as MODEL, ServiceError};

const MOST_TEXTS: usize = 256;

/// How vectors are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Float,
    Base64,
}

/// Embeds texts. The encoder reads at most the configured number of tokens of each.
#[utoipa::path(
    post, path = "/v1/embeddings", tag = "inference",
    request_body(content = super::openapi::EmbeddingsRequest),
    responses(
        (status = 200, description = "Vectors of 384 numbers and unit norm", body = super::openapi::EmbeddingList),
        (status = "default", description = "An error", body = super::openapi::ErrorBody),
    )
)]
pub(super) async fn create(State(api): State<Api>, incoming: Incoming) -> Result<Response, HttpError> {
    let request: Value = serde_json::from_slice(&incoming.bytes)
        .map_err(|e| HttpError::bad_request(format!("the body is not JSON: {e}")))?;
    let Some(request) = request.as_object() else {
        return Err(HttpError::bad_request("the body must be a JSON object"));
    };
    match request.get("model") {
        Some(Value::String(model)) if model == MODEL => {}
        _ => {
            return Err(HttpError::invalid_field(
                "model",
                format!("must be {MODEL:?}, the one embedding model served here"),
            ));
        }
    }
    if request.get("dimensions").is_some_and(|d| !d.is_null() && d != 384) {
        return Err(HttpError::invalid_field("dimensions", "must be 384 or left out".into()));
    }
    let encoding = encoding(request.get("encoding_format"))?;
    let texts = texts(request.get("input"))?;
    let tokens: usize = texts.iter().map(|t| t.len().div_ceil(4)).sum();
    let meter = incoming.caller.meter.as_ref();
    let held = meter.map(|meter| meter.hold(tokens as f64)).transpose().map_err(ServiceError::from)?;
    let vectors = api.service().embed(texts, &incoming.caller).await?;
    if let Some(held) = held {
        held.settle(tokens as f64);
    }
    let data: Vec<_> = vectors
        .iter()
        .enumerate()
        .map(|(index, e)| json!({"object": "embedding", "index": index, "embedding": written(&e.vector, encoding)}))
        .collect();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Ok(Json(json!({"object": "list", "data": data, "model": MODEL, "usage": usage})).into_response())
}

fn encoding(field: Option<&Value>) -> Result<Encoding, HttpError> {
    match field.map(|f| (f, f.as_str())) {
        None | Some((Value::Null, _) | (_, Some("float"))) => Ok(Encoding::Float),
        Some((_, Some("base64"))) => Ok(Encoding::Base64),
        _ => Err(HttpError::invalid_field("encoding_format", "must be \"float\" or \"base64\"".into())),
    }
}

fn texts(field: Option<&Value>) -> Result<Vec<String>, HttpError> {
    let fault = || {
        HttpError::invalid_field(
            "input",
            format!("must be a text that is not empty, or a list of 1 to {MOST_TEXTS}"),
        )
    };
    let text = |value: &Value| value.as_str().filter(|t| !t.is_empty()).map(str::to_owned).ok_or_else(fault);
    match field {
        Some(Value::Array(list)) if (1..=MOST_TEXTS).contains(&list.len()) => list.iter().map(text).collect(),
        Some(value) => Ok(vec![text(value)?]),
        None => Err(fault()),
    }
}

fn written(vector: &[f32], encoding: Encoding) -> Value {
    match encoding {
        Encoding::Float => json!(vector),
        Encoding::Base64 => {
            json!(STANDARD.encode(vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()))
        }
    }
}
