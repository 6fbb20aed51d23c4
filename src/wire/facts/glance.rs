//! The facts of an answer of the usual shape, in one pass and without building the answer in memory. An answer of any other shape,
//! broken ones included, gives nothing here and is examined field by field instead.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{CONTENT, ChunkFacts, REFUSAL, ReplyFacts};
use crate::domain::Usage;
use crate::wire::chat::of_text;
use crate::wire::json::{checked_text, is_too_deep};

/// What a whole answer and a chunk have in common.
#[derive(Deserialize)]
#[serde(bound(deserialize = "U: Deserialize<'de>, C: Deserialize<'de>"))]
struct Envelope<'a, U, C> {
    #[serde(borrow)]
    id: Option<&'a str>,
    #[serde(borrow)]
    model: Option<&'a str>,
    error: Option<IgnoredAny>,
    usage: Option<U>,
    choices: Vec<C>,
}

type Completion<'a> = Envelope<'a, Counts, Choice<'a>>;
/// Of a chunk with usage nothing is wanted here but that it has some.
type Chunk<'a> = Envelope<'a, IgnoredAny, DeltaChoice<'a>>;

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    finish_reason: Option<&'a str>,
    #[serde(borrow)]
    message: Message<'a>,
}

/// The fields of [`CONTENT`], in its order.
struct Message<'a>([Option<&'a RawValue>; CONTENT.len()]);

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Message<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; CONTENT.len()];
        while let Some(name) = map.next_key::<&str>()? {
            match CONTENT.iter().position(|content| *content == name) {
                Some(i) if found[i].is_some() => return Err(A::Error::custom("a field is given twice")),
                Some(i) => found[i] = Some(map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Message(found))
    }
}

#[derive(Deserialize)]
struct Counts {
    prompt_tokens: u32,
    completion_tokens: Option<u32>,
    prompt_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
    cost: Option<f64>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u32>,
    reasoning_tokens: Option<u32>,
    cache_creation_tokens: Option<u32>,
}

/// The facts, when the answer has the usual shape.
pub(super) fn completion(bytes: &[u8]) -> Option<ReplyFacts> {
    let text = checked_text(bytes).ok()?;
    if may_be_broken(text) {
        return None;
    }
    let whole: Completion<'_> = serde_json::from_str(text).ok()?;
    if whole.error.is_some() {
        return None;
    }
    let first = whole.choices.first()?;
    Some(ReplyFacts {
        id: whole.id.map(str::to_owned),
        model: whole.model.map(str::to_owned),
        usage: whole.usage.as_ref().map(usage),
        cost_usd: whole.usage.as_ref().and_then(|u| u.cost).filter(|c| c.is_finite() && *c >= 0.0),
        finish_reason: first.finish_reason.map(str::to_owned),
        has_content: whole.choices.iter().any(|c| c.message.0.iter().flatten().any(|raw| is_filled(raw))),
        is_refusal: whole.choices.iter().any(Choice::declines),
    })
}

/// Half of a pair of surrogates stands in no string; what is only skipped is not looked at that closely.
fn may_be_broken(text: &str) -> bool {
    text.contains("\\ud") || text.contains("\\uD")
}

#[derive(Deserialize)]
struct DeltaChoice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    finish_reason: Option<&'a str>,
    #[serde(borrow)]
    delta: Option<Message<'a>>,
}

/// The facts of a chunk of the usual shape without usage, and of each choice in it its index and whether it is finished.
pub(super) fn chunk(text: &str) -> Option<(ChunkFacts, Vec<(u64, bool)>)> {
    if is_too_deep(text.as_bytes()) || may_be_broken(text) {
        return None;
    }
    let chunk: Chunk<'_> = serde_json::from_str(text).ok()?;
    if chunk.error.is_some() || chunk.usage.is_some() {
        return None;
    }
    let mut facts = ChunkFacts {
        id: chunk.id.map(str::to_owned),
        model: chunk.model.map(str::to_owned),
        is_usage_only: chunk.choices.is_empty(),
        ..ChunkFacts::default()
    };
    for choice in &chunk.choices {
        if facts.finish_reason.is_none() {
            facts.finish_reason = choice.finish_reason.map(str::to_owned);
        }
        facts.is_refusal |= choice.finish_reason == Some("content_filter");
        let Some(delta) = &choice.delta else { continue };
        for (name, raw) in CONTENT.iter().zip(&delta.0) {
            let Some(raw) = raw.filter(|raw| is_filled(raw)) else { continue };
            facts.has_content = true;
            let is_text = raw.get().starts_with('"');
            facts.is_refusal |= is_text && *name == REFUSAL;
            match *name {
                "content" | REFUSAL | "reasoning" | "reasoning_content" if is_text => {
                    facts.text_tokens += of_text(&serde_json::from_str::<Text<'_>>(raw.get()).ok()?.0);
                }
                // Their texts lie deeper.
                "tool_calls" => return None,
                _ => {}
            }
        }
    }
    let finished = chunk.choices.iter().map(|c| (c.index.unwrap_or(0), c.finish_reason.is_some()));
    Some((facts, finished.collect()))
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn usage(counts: &Counts) -> Usage {
    let cached = counts.prompt_tokens_details.as_ref().and_then(|d| d.cached_tokens);
    let written = counts.prompt_tokens_details.as_ref().and_then(|d| d.cache_creation_tokens);
    let reasoning = counts.completion_tokens_details.as_ref().and_then(|d| d.reasoning_tokens);
    Usage {
        input_tokens: counts.prompt_tokens,
        output_tokens: counts.completion_tokens.unwrap_or(0),
        cached_tokens: cached.unwrap_or(0).min(counts.prompt_tokens),
        reasoning_tokens: reasoning.unwrap_or(0),
        cache_write_tokens: written.unwrap_or(0),
    }
}

impl Choice<'_> {
    fn declines(&self) -> bool {
        let refusal = CONTENT.iter().zip(&self.message.0).find(|(name, _)| **name == REFUSAL);
        let refuses = |raw: &RawValue| raw.get().starts_with('"') && is_filled(raw);
        self.finish_reason == Some("content_filter") || refusal.and_then(|(_, raw)| *raw).is_some_and(refuses)
    }
}

/// Whether a text, a list or an object holds anything; numbers and the like count as nothing.
fn is_filled(raw: &RawValue) -> bool {
    let text = raw.get();
    let inner = |open: char, close: char| text.strip_prefix(open)?.strip_suffix(close);
    let text_or = inner('"', '"').map(|text| !text.is_empty());
    let other = || inner('[', ']').or_else(|| inner('{', '}')).is_some_and(|inner| !inner.trim().is_empty());
    text_or.unwrap_or_else(other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::{chunk_facts, examine, parse};
    use super::*;

    #[test]
    fn the_usual_answer_is_read_at_a_glance() {
        let answer = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "system_fingerprint": null,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "a \"b\" \n ü", "refusal": null},
                         "logprobs": null, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9, "cost": 0.25,
                      "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 1}}
        });
        let facts = completion(answer.to_string().as_bytes()).unwrap();
        assert_eq!(facts, examine(answer.to_string().as_bytes()).unwrap());
        assert!(facts.has_content && !facts.is_refusal);
        assert_eq!(facts.usage.unwrap().cached_tokens, 3);
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_full_reading() {
        let lone = r#"{"choices":[{"message":{"content":"\ud800"}}]}"#;
        let deep = format!(
            r#"{{"choices":[{{"message":{{"content":"x"}}}}],"x":{}1{}}}"#,
            "[".repeat(300),
            "]".repeat(300)
        );
        for other in
            [lone, deep.as_str(), r#"{"error":{"message":"x"},"choices":[{"message":{}}]}"#, "[]", "", "{"]
        {
            assert_eq!(completion(other.as_bytes()), None, "{other}");
        }
    }

    fn piece() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            Just(json!("")),
            Just(json!([])),
            Just(json!({})),
            Just(json!(0)),
            Just(json!(-3)),
            Just(json!(1.5)),
            Just(json!(true)),
            Just(json!("content_filter")),
            Just(json!([1])),
            Just(json!({"cached_tokens": 9, "reasoning_tokens": 2, "cache_creation_tokens": 4})),
            any::<String>().prop_map(Value::String),
        ]
    }

    fn object(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
        let fields = prop::collection::vec((prop::sample::select(names), piece()), 0..5);
        fields.prop_map(|fields| {
            fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<serde_json::Map<_, _>>()
                .into()
        })
    }

    proptest! {
        #[test]
        fn a_glance_sees_what_the_full_reading_sees(
            top in object(&["id", "model", "error", "other"]),
            usage in prop_oneof![piece(), object(&["prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details", "cost"])],
            choices in prop::collection::vec((object(&["finish_reason", "index"]),
                prop_oneof![piece(), object(&["content", "tool_calls", "refusal", "reasoning", "audio", "images", "role"])]), 0..3),
        ) {
            let choices: Vec<Value> = choices.into_iter().map(|(mut choice, message)| { choice["message"] = message; choice }).collect();
            let mut answer = top;
            answer["usage"] = usage;
            answer["choices"] = Value::Array(choices);
            let text = answer.to_string();
            if let Some(facts) = completion(text.as_bytes()) {
                prop_assert_eq!(facts, examine(text.as_bytes()).unwrap(), "{}", text);
            }
        }

        #[test]
        fn a_glance_at_a_chunk_sees_what_the_full_reading_sees(
            top in object(&["id", "model", "error", "usage", "other"]),
            choices in prop::collection::vec((object(&["finish_reason", "index"]),
                prop_oneof![piece(), object(&["content", "tool_calls", "refusal", "reasoning", "audio", "images", "role"])]), 0..3),
        ) {
            let choices: Vec<Value> = choices.into_iter().map(|(mut choice, delta)| { choice["delta"] = delta; choice }).collect();
            let mut answer = top;
            answer["choices"] = Value::Array(choices);
            let text = answer.to_string();
            if let Some((facts, ends)) = chunk(&text) {
                let value = parse(text.as_bytes()).unwrap();
                prop_assert_eq!(facts, chunk_facts(&value).unwrap(), "{}", text);
                let all = value["choices"].as_array().unwrap();
                let full = all.iter().map(|c| (c["index"].as_u64().unwrap_or(0), c["finish_reason"].is_string()));
                prop_assert_eq!(ends, full.collect::<Vec<_>>(), "{}", text);
            }
        }
    }

    #[test]
    fn the_usual_chunk_is_read_at_a_glance() {
        let text = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","usage":null,
            "choices":[{"index":1,"delta":{"role":"assistant","content":"a \"b\" \u00fc"},"logprobs":null,"finish_reason":null}]}"#;
        let (facts, ends) = chunk(text).unwrap();
        assert_eq!(facts, chunk_facts(&parse(text.as_bytes()).unwrap()).unwrap());
        assert!(facts.has_content && facts.text_tokens > 0.0);
        assert_eq!(ends, [(1, false)]);
        for other in
            [r#"{"choices":[],"usage":{}}"#, r#"{"choices":[{"delta":{"content":"\ud800"}}]}"#, "[]", "{"]
        {
            assert_eq!(chunk(other), None, "{other}");
        }
    }
}
