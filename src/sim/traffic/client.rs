//! One HTTP client of the router: asks, reads answers whole or in events, and rates.

use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

use super::super::playbook::Playbook;
use super::{Rating, Record, TrafficError, TrafficPlan};

/// Characters of an error's text that are kept.
const MOST_ERROR_TEXT: usize = 300;

pub(super) struct Client {
    http: reqwest::Client,
    chat: String,
    feedback: String,
    route: String,
    source: &'static str,
}

/// What the router said with an answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    decision: String,
    completion: String,
    model: String,
    cost_usd: Option<f64>,
    reason: String,
}

impl Client {
    pub(super) fn new(plan: &TrafficPlan) -> Result<Self, TrafficError> {
        let root = plan.router.trim_end_matches('/');
        Ok(Self {
            http: reqwest::Client::builder().no_proxy().build()?,
            chat: format!("{root}/v1/chat/completions"),
            feedback: format!("{root}/feedback"),
            route: plan.route.clone(),
            source: plan.rating_source,
        })
    }

    /// Asks and reads the answer to its end; an error is a text for people.
    pub(super) async fn ask(&self, text: &str, streamed: bool) -> Result<Answer, String> {
        let mut body = json!({"model": self.route, "messages": [{"role": "user", "content": text}]});
        if streamed {
            body["stream"] = json!(true);
            body["stream_options"] = json!({"include_usage": true});
        }
        let response = self.post(&self.chat, &body).await?;
        let mut answer = Answer::from_headers(response.headers());
        let text = response.text().await.map_err(|e| format!("the answer broke off: {e}"))?;
        if streamed {
            answer.read_events(&text)?
        } else {
            answer.read_body(&text)?
        }
        Ok(answer)
    }

    /// Rates an answer; an error is a text for people.
    pub(super) async fn rate(&self, rating: &Rating) -> Result<(), String> {
        let body = json!({"decision_id": rating.decision, "value": rating.value, "source": self.source});
        let response = self.post(&self.feedback, &body).await?;
        response.bytes().await.map(|_| ()).map_err(|e| format!("the receipt broke off: {e}"))
    }

    async fn post(&self, url: &str, body: &Value) -> Result<Response, String> {
        let request = self.http.post(url).header(CONTENT_TYPE, "application/json").body(body.to_string());
        let response = request.send().await.map_err(|e| format!("{url}: {e}"))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        Err(format!("{url}: {status}: {}", text.chars().take(MOST_ERROR_TEXT).collect::<String>()))
    }
}

impl Answer {
    fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        Self {
            decision: text("x-pointsman-decision-id"),
            completion: String::new(),
            model: text("x-pointsman-model"),
            cost_usd: text("x-pointsman-cost-usd").parse().ok(),
            reason: text("x-pointsman-reason"),
        }
    }

    fn read_body(&mut self, text: &str) -> Result<(), String> {
        let body: Value = serde_json::from_str(text).map_err(|e| format!("the answer is no JSON: {e}"))?;
        self.completion = body["id"].as_str().unwrap_or_default().to_owned();
        Ok(())
    }

    /// The cost stands in the usage chunk's `pointsman` object; an error event or a missing `[DONE]` is a failure.
    fn read_events(&mut self, text: &str) -> Result<(), String> {
        let mut done = false;
        for data in text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim) {
            if data == "[DONE]" {
                done = true;
                continue;
            }
            let event: Value = serde_json::from_str(data).map_err(|e| format!("an event is no JSON: {e}"))?;
            if let Some(error) = event.get("error") {
                return Err(format!("the stream failed: {error}"));
            }
            if let Some(id) = event["id"].as_str() {
                self.completion = id.to_owned();
            }
            self.cost_usd = event["pointsman"]["cost_usd"].as_f64().or(self.cost_usd);
        }
        if done { Ok(()) } else { Err("the stream ended without [DONE]".to_owned()) }
    }

    /// # Errors
    /// When the router did not say who served or under which decision.
    pub(super) fn into_record(
        self,
        play: usize,
        streamed: bool,
        playbook: &Playbook,
    ) -> Result<Record, String> {
        if self.decision.is_empty() {
            return Err("the answer has no x-pointsman-decision-id".to_owned());
        }
        let served = playbook
            .model(&self.model)
            .ok_or_else(|| format!("x-pointsman-model is {:?}, which is no model here", self.model))?;
        Ok(Record {
            play,
            decision: self.decision,
            completion: self.completion,
            served,
            cost_usd: self.cost_usd,
            streamed,
            reason: self.reason,
        })
    }
}
