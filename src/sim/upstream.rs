//! The upstream: a real HTTP server that speaks OpenAI's wire and answers from a [`Playbook`].
//!
//! It knows nothing of routing. It finds the truth by the words of the last user message, waits as long as the model would
//! (divided by the time scale), fails as often as the model would, and never tells the quality: that is between the playbook
//! and whoever judges. Which prompts fail is a hash of words and model, so a run can be repeated.

mod answer;
mod ledger;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::answer::{Answer, ChatRequest, Fault};
use self::ledger::Ledger;
pub use self::ledger::Served;
use super::hash;
use super::playbook::Playbook;
use super::world::Truth;

/// How the upstream runs.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamSettings {
    /// Where it listens; port 0: any free one.
    pub listen: SocketAddr,
    /// By how much its models are faster than life; at least 1.
    pub time_scale: f64,
    /// How many answers it remembers.
    pub ledger: usize,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), time_scale: 50.0, ledger: 4_096 }
    }
}

struct Shared {
    playbook: Arc<Playbook>,
    averages: Vec<Truth>,
    time_scale: f64,
    ledger: Mutex<Ledger>,
    answers: AtomicU64,
}

/// A running upstream.
pub struct Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    server: JoinHandle<io::Result<()>>,
}

impl Upstream {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(playbook: Arc<Playbook>, settings: UpstreamSettings) -> io::Result<Self> {
        let averages = (0..playbook.models.len()).map(|k| playbook.average(k)).collect();
        let shared = Arc::new(Shared {
            playbook,
            averages,
            time_scale: settings.time_scale.max(1.0),
            ledger: Mutex::new(Ledger::new(settings.ledger)),
            answers: AtomicU64::new(0),
        });
        let listener = TcpListener::bind(settings.listen).await?;
        let addr = listener.local_addr()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let app = routes(Arc::clone(&shared));
        let serve = async move { axum::serve(listener, app).with_graceful_shutdown(stopped).await };
        Ok(Self { addr, shared, stop, server: tokio::spawn(serve) })
    }

    /// What OpenAI clients take as their base URL, `/v1` included.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// Which prompt and model an answer was made of; `None` when it is unknown or forgotten.
    pub fn served(&self, completion_id: &str) -> Option<Served> {
        self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner).get(completion_id)
    }

    /// Ends open answers and stops.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.server.await {
            tracing::warn!(%error, "the simulated upstream did not stop cleanly");
        }
    }
}

fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(models))
        .with_state(shared)
}

async fn chat(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let request = match ChatRequest::parse(&body) {
        Ok(request) => request,
        Err(fault) => return refusal(&fault),
    };
    match plan(&shared, &request) {
        Ok(answer) if request.stream => answer::stream(answer, &request),
        Ok(answer) => answer::whole(answer).await,
        Err(fault) => refusal(&fault),
    }
}

/// Decides everything about the answer but its bytes, and notes it in the ledger.
fn plan(shared: &Shared, request: &ChatRequest) -> Result<Answer, Fault> {
    let k = shared.playbook.model(&request.model).ok_or_else(|| Fault::unknown_model(&request.model))?;
    let ask = request.last_ask();
    let model = &shared.playbook.models[k];
    let luck = hash::unit(hash::mix(hash::mix(hash::text(&ask), 0xfa17), k as u64));
    if luck < model.faults.server_error {
        return Err(Fault::server_error(luck < model.faults.server_error / 2.0));
    }
    if luck < model.faults.server_error + model.faults.rate_limited {
        return Err(Fault::rate_limited());
    }
    let play = shared.playbook.find(&ask);
    let truth = play.map_or(shared.averages[k], |i| shared.playbook.plays[i].truths[k]);
    let number = shared.answers.fetch_add(1, Ordering::Relaxed);
    let id = format!("chatcmpl-{:016x}", hash::mix(hash::text(&model.name), number));
    let mut ledger = shared.ledger.lock().unwrap_or_else(PoisonError::into_inner);
    ledger.note(id.clone(), Served { play, model: k });
    Ok(Answer::new(
        id,
        model,
        truth,
        answer::Terms {
            billing: shared.playbook.billing,
            time_scale: shared.time_scale,
            max_tokens: request.max_tokens(),
        },
    ))
}

async fn models(State(shared): State<Arc<Shared>>) -> Response {
    let data: Vec<Value> = shared
        .playbook
        .models
        .iter()
        .map(|m| {
            json!({
                "id": m.name, "object": "model", "created": 0, "owned_by": "simulation",
                "context_length": m.limits.context_window,
                "pricing": {"input": m.price.input, "output": m.price.output},
            })
        })
        .collect();
    json_response(StatusCode::OK, &json!({"object": "list", "data": data}))
}

fn refusal(fault: &Fault) -> Response {
    let body = json!({"error": {
        "message": fault.message, "type": fault.kind, "param": null, "code": fault.code,
    }});
    let mut response = json_response(fault.status, &body);
    if fault.status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert("retry-after-ms", HeaderValue::from_static("20"));
    }
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
