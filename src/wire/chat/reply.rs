//! Answers and streams in OpenAI's format.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::wire::facts::{self, ChunkFacts, ReplyFacts};
use crate::wire::{ChunkError, ChunkReader, RawChunk, WireError, sse};

/// Choices of one stream that are followed; more than a client may ask for.
const MAX_CHOICES: usize = 256;

/// Reads a chat completion.
///
/// # Errors
/// Malformed, empty, without choices, or an error object.
pub fn read_completion(bytes: &[u8]) -> Result<ReplyFacts, ChunkError> {
    facts::read_completion(bytes)
}

/// Reads one chunk of a stream.
///
/// # Errors
/// Malformed, without `choices`, or an error object.
pub fn read_chunk(data: &str) -> Result<ChunkFacts, ChunkError> {
    facts::chunk_facts(&facts::parse(data.as_bytes())?)
}

/// Reads a stream of OpenAI chunks and passes them on as they came.
///
/// One thing is put in order: usage comes exactly once, in a last chunk of its own with empty `choices`. Some servers put it into
/// the chunk with the finish reason or, running, into every chunk; clients that add it up would count it more than once.
#[derive(Debug, Default)]
pub struct OpenAiReader {
    is_done: bool,
    has_choice: bool,
    open_choices: BTreeSet<u64>,
    finished_choices: BTreeSet<u64>,
    /// The latest usage, with the fields of the chunk that it came in.
    usage: Option<(Map<String, Value>, Value)>,
}

impl ChunkReader for OpenAiReader {
    fn read(&mut self, event: &sse::Event) -> Result<Vec<RawChunk>, ChunkError> {
        if self.is_done {
            return Ok(Vec::new());
        }
        if event.data.trim() == "[DONE]" {
            self.is_done = true;
            if !self.has_choice {
                return Err(ChunkError::Malformed(WireError::malformed("the stream ended without a choice")));
            }
            return Ok(Vec::new());
        }
        if event.data.trim().is_empty() {
            return Ok(Vec::new());
        }
        if let Some((facts, choices)) = facts::glance_chunk(&event.data) {
            self.follow(choices)?;
            // Azure's first chunk has no choices either, but says nothing of usage.
            let is_passed = !facts.is_usage_only;
            let chunk = || RawChunk { data: event.data.clone(), facts, native: None };
            return Ok(is_passed.then(chunk).into_iter().collect());
        }
        let mut value = facts::parse(event.data.as_bytes())?;
        let mut facts = facts::chunk_facts(&value)?;
        self.follow(choices_in(&value))?;
        let has_usage = self.take_usage(&mut value);
        if facts.is_usage_only {
            return Ok(Vec::new());
        }
        facts.usage = None;
        facts.cost_usd = None;
        let data = if has_usage { value.to_string() } else { event.data.clone() };
        Ok(vec![RawChunk { data, facts, native: None }])
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn is_whole(&self) -> bool {
        self.is_done || (!self.finished_choices.is_empty() && self.open_choices.is_empty())
    }

    fn finish(&mut self) -> Vec<RawChunk> {
        let Some((mut chunk, usage)) = self.usage.take() else { return Vec::new() };
        chunk.insert("choices".to_owned(), json!([]));
        chunk.insert("usage".to_owned(), usage);
        let value = Value::Object(chunk);
        let facts = facts::chunk_facts(&value);
        facts.map(|facts| RawChunk { data: value.to_string(), facts, native: None }).into_iter().collect()
    }
}

impl OpenAiReader {
    /// Notes which choices have begun and which are finished.
    fn follow(&mut self, choices: impl IntoIterator<Item = (u64, bool)>) -> Result<(), ChunkError> {
        for (index, is_finished) in choices {
            self.has_choice = true;
            if is_finished {
                self.open_choices.remove(&index);
                self.finished_choices.insert(index);
            } else if !self.finished_choices.contains(&index) {
                // OpenRouter sends an empty delta after the finish: that opens nothing.
                self.open_choices.insert(index);
            }
        }
        if self.open_choices.len() + self.finished_choices.len() > MAX_CHOICES {
            return Err(ChunkError::Malformed(WireError::malformed("the stream has too many choices")));
        }
        Ok(())
    }

    /// Moves `usage` out of the chunk; whether there was any.
    fn take_usage(&mut self, value: &mut Value) -> bool {
        let Some(object) = value.as_object_mut() else { return false };
        let Some(usage) = object.get_mut("usage").filter(|u| u.is_object()) else { return false };
        let usage = usage.take();
        let mut head = object.clone();
        head.remove("choices");
        self.usage = Some((head, usage));
        true
    }
}

/// Each choice's index, and whether it is finished.
fn choices_in(value: &Value) -> impl Iterator<Item = (u64, bool)> {
    let choices = value.get("choices").and_then(Value::as_array).into_iter().flatten();
    choices.map(|choice| {
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        (index, choice.get("finish_reason").is_some_and(Value::is_string))
    })
}
