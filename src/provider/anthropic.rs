//! Anthropic's Messages, translated both ways.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::body::{Body, Clock, MAX_BODY};
use super::client::{Client, Post};
use super::{Provider, ProviderCall, ProviderError, Reply, stream};
use crate::domain::ProviderId;
use crate::wire::anthropic::client::{self, NativeReader};
use crate::wire::anthropic::{AnthropicReader, cannot_say, translate_reply, translate_request};
use crate::wire::chat::ChatRequest;
use crate::wire::{ClientFormat, WireError};

/// An upstream that speaks Messages.
#[derive(Debug)]
pub(super) struct Anthropic {
    client: Client,
}

impl Anthropic {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Provider for Anthropic {
    async fn complete(&self, call: &ProviderCall) -> Result<Reply, ProviderError> {
        let stream = call.request.stream();
        let native = client::body(&call.request, &call.model, call.max_output);
        let passes = native.is_some();
        let body = match native {
            Some(body) => body,
            None => translate_request(&call.request, &call.model, call.max_output)
                .map_err(ProviderError::Untranslatable)?,
        };
        let mut clock = Clock::start(call);
        let created = Timestamp::now().as_second();
        let response = self.client.post(Post { path: None, body, stream }, &mut clock).await?;
        if stream && passes {
            return Ok(Reply::Stream(stream::read(response, NativeReader::new(created), clock)?));
        }
        if stream {
            return Ok(Reply::Stream(stream::read(response, AnthropicReader::new(created), clock)?));
        }
        let answer = Body::new(response, MAX_BODY).read_all(clock).await?;
        let (body, facts) = translate_reply(&answer, created).map_err(ProviderError::of_answer)?;
        Ok(Reply::Full { body: Bytes::from(body), facts, native: passes.then_some(answer) })
    }

    fn cannot_say(&self, request: &ChatRequest) -> Option<WireError> {
        match request.client_format() {
            ClientFormat::Messages => None,
            ClientFormat::Chat | ClientFormat::Responses | ClientFormat::Completions => cannot_say(request),
        }
    }

    fn id(&self) -> &ProviderId {
        self.client.id()
    }
}
