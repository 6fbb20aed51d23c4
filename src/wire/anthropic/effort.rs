//! `reasoning_effort` as thinking.
//!
//! Models of the 4.6 family and later decide themselves how much they think, by an effort; those from 3.7 on are given a number of
//! tokens; older ones do not think. Who serves other models in this format takes the number of tokens.

use serde_json::{Map, Value, json};

use super::reply::is_signed;
use crate::wire::WireError;
use crate::wire::chat::{ChatRequest, Options, Role, ToolChoice};

/// The least number of tokens that the format lets a model think for.
const LEAST_BUDGET: u32 = 1024;
/// The least `top_p` of a model that thinks.
const LEAST_TOP_P: f64 = 0.95;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    Low,
    Medium,
    High,
    Highest,
}

/// How a model is told to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Never,
    Budget,
    /// By an effort. `shows`: thinking is told unless one says otherwise.
    Adaptive {
        shows: bool,
    },
}

/// What is asked for; `None`: not to think.
fn effort(options: &Options) -> Result<Option<Effort>, WireError> {
    Ok(match options.reasoning_effort.as_deref() {
        None | Some("none") => None,
        Some("minimal" | "low") => Some(Effort::Low),
        Some("medium") => Some(Effort::Medium),
        Some("high") => Some(Effort::High),
        Some("xhigh" | "max") => Some(Effort::Highest),
        Some(_) => {
            let why = "it must be none, minimal, low, medium, high or xhigh";
            return Err(WireError::untranslatable("reasoning_effort", why));
        }
    })
}

/// Whether the request asks for thinking.
pub(super) fn thinks(options: &Options) -> bool {
    effort(options).is_ok_and(|effort| effort.is_some())
}

/// Refuses what a model that thinks cannot be told, whichever it is.
///
/// # Errors
/// `Untranslatable`, with the field.
pub(super) fn check(options: &Options) -> Result<(), WireError> {
    if effort(options)?.is_none() {
        return Ok(());
    }
    let refuse = |field: &str, why: &str| Err(WireError::untranslatable(field, why));
    if options.temperature.is_some_and(|t| (t - 1.0).abs() > f64::EPSILON) {
        return refuse(
            "temperature",
            "Anthropic's models take none while they think; leave it or reasoning_effort out",
        );
    }
    if options.top_p.is_some_and(|p| p < LEAST_TOP_P) {
        return refuse(
            "top_p",
            "Anthropic's models take 0.95 or more while they think; leave it or reasoning_effort out",
        );
    }
    if matches!(options.tool_choice, Some(ToolChoice::Required | ToolChoice::Function(_))) {
        let why =
            "Anthropic's models cannot be made to call while they think; leave it or reasoning_effort out";
        return refuse("tool_choice", why);
    }
    Ok(())
}

/// Adds what makes `model` think. Where its tokens are counted it does not when the bound on the answer leaves no room for that, or when it
/// is in the midst of calls that it began without thinking (or whose thinking did not come back): the format takes no other then.
///
/// # Errors
/// `Untranslatable`, when the model never thinks.
pub(super) fn add(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    model: &str,
) -> Result<(), WireError> {
    let options = request.options();
    let Some(effort) = effort(options)? else { return Ok(()) };
    match way(model) {
        Way::Never => {
            let why = "this model of Anthropic's does not think; leave it out";
            return Err(WireError::untranslatable("reasoning_effort", why));
        }
        Way::Budget => {
            let most = body.get("max_tokens").and_then(Value::as_u64).unwrap_or_default();
            let budget = budget(effort).min(u32::try_from(most / 2).unwrap_or(u32::MAX));
            if budget >= LEAST_BUDGET && !is_amid_calls(request) {
                body.insert("thinking".to_owned(), json!({ "type": "enabled", "budget_tokens": budget }));
            }
        }
        Way::Adaptive { shows } => {
            let mut thinking = json!({ "type": "adaptive" });
            if !shows {
                thinking["display"] = json!("summarized");
            }
            body.insert("thinking".to_owned(), thinking);
            let word = match effort {
                Effort::Low => "low",
                Effort::Medium => "medium",
                Effort::Highest if !shows => "xhigh",
                Effort::High | Effort::Highest => "high",
            };
            body.entry("output_config").or_insert_with(|| json!({}))["effort"] = json!(word);
        }
    }
    Ok(())
}

/// What is added to the usual bound on an answer when neither the client nor the arm states one.
pub(super) fn room(options: &Options, model: &str) -> u32 {
    match effort(options) {
        Ok(Some(effort)) if way(model) == Way::Budget => 2 * budget(effort),
        Ok(Some(effort)) if way(model) != Way::Never => budget(effort),
        _ => 0,
    }
}

/// Tokens, as many as Gemini is given for the same word.
fn budget(effort: Effort) -> u32 {
    match effort {
        Effort::Low => LEAST_BUDGET,
        Effort::Medium => 8192,
        Effort::High | Effort::Highest => 24_576,
    }
}

/// Whether the last answer called tools, and its thinking is not there.
fn is_amid_calls(request: &ChatRequest) -> bool {
    let last = request.messages().iter().rev().find(|message| message.role != Role::Tool);
    last.is_some_and(|m| {
        m.role == Role::Assistant && !m.tool_calls.is_empty() && !m.thinking.iter().any(is_signed)
    })
}

fn way(model: &str) -> Way {
    let name = model.to_ascii_lowercase();
    let Some((_, rest)) = name.rsplit_once("claude-") else { return Way::Budget };
    match version(rest) {
        Some(version) if version < (3, 7) => Way::Never,
        Some(version) if version < (4, 6) => Way::Budget,
        Some((4, 6)) => Way::Adaptive { shows: true },
        _ => Way::Adaptive { shows: false },
    }
}

/// `3-7-sonnet-20250219`, `opus-4-20250514`, `haiku-4-5`: the version, which stands before the family or after it; a number of more than two
/// digits is a date.
fn version(rest: &str) -> Option<(u32, u32)> {
    let mut parts = rest.split(['-', '.', '@', ':', '_']).skip_while(|part| part.parse::<u32>().is_err());
    let number = |part: Option<&str>| part.filter(|p| p.len() <= 2).and_then(|p| p.parse().ok());
    Some((number(parts.next())?, number(parts.next()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::anthropic::translate_request;

    fn translated(model: &str, fields: &Value) -> Result<Value, WireError> {
        let mut body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hi" }] });
        fields.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        let request = ChatRequest::parse(body.to_string().as_bytes()).unwrap();
        translate_request(&request, model, None).map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn each_model_is_told_in_its_own_way() {
        for (model, expected) in [
            ("claude-3-5-haiku-20241022", Way::Never),
            ("claude-3-opus-20240229", Way::Never),
            ("claude-3-7-sonnet-20250219", Way::Budget),
            ("claude-opus-4-20250514", Way::Budget),
            ("claude-sonnet-4-5-20250929", Way::Budget),
            ("us.anthropic.claude-haiku-4.5", Way::Budget),
            ("kimi-k2-thinking", Way::Budget),
            ("claude-sonnet-4-6", Way::Adaptive { shows: true }),
            ("claude-opus-4-6-v1", Way::Adaptive { shows: true }),
            ("anthropic/claude-opus-4.7", Way::Adaptive { shows: false }),
            ("claude-mythos-5", Way::Adaptive { shows: false }),
            ("claude-mythos-preview", Way::Adaptive { shows: false }),
        ] {
            assert_eq!(way(model), expected, "{model}");
        }
    }

    #[test]
    fn effort_becomes_thinking() {
        let high = json!({ "reasoning_effort": "high", "temperature": 1.0, "top_p": 0.97 });
        let counted = translated("claude-sonnet-4-5", &high).unwrap();
        assert_eq!(counted["thinking"], json!({ "type": "enabled", "budget_tokens": 24_576 }));
        assert!(counted["max_tokens"].as_u64().unwrap() > 24_576 + 4096);
        assert!(counted.get("temperature").is_none() && counted.get("top_p").is_none(), "{counted}");
        let own = translated(
            "claude-opus-4-7",
            &json!({ "reasoning_effort": "xhigh", "max_tokens": 900, "response_format":
            { "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } } }),
        )
        .unwrap();
        assert_eq!(own["thinking"], json!({ "type": "adaptive", "display": "summarized" }));
        assert_eq!(
            (&own["output_config"]["effort"], &own["output_config"]["format"]["type"]),
            (&json!("xhigh"), &json!("json_schema"))
        );
        assert_eq!(own["max_tokens"], 900);
        let older = translated("claude-opus-4-6", &json!({ "reasoning_effort": "xhigh" })).unwrap();
        assert_eq!(
            (&older["thinking"], &older["output_config"]),
            (&json!({ "type": "adaptive" }), &json!({ "effort": "high" }))
        );
        for model in ["claude-sonnet-4-5", "claude-opus-4-7", "claude-3-5-haiku-20241022"] {
            let none = translated(model, &json!({ "reasoning_effort": "none", "temperature": 0.2 })).unwrap();
            assert!(none.get("thinking").is_none() && none.get("output_config").is_none(), "{none}");
            assert_eq!(none["temperature"], 0.2);
        }
    }

    #[test]
    fn a_bound_on_the_answer_and_calls_without_their_thinking_go_before() {
        let small =
            translated("claude-sonnet-4-5", &json!({ "reasoning_effort": "high", "max_tokens": 6000 }))
                .unwrap();
        assert_eq!((&small["thinking"]["budget_tokens"], &small["max_tokens"]), (&json!(3000), &json!(6000)));
        let tiny = translated("claude-sonnet-4-5", &json!({ "reasoning_effort": "high", "max_tokens": 500 }))
            .unwrap();
        assert!(tiny.get("thinking").is_none(), "{tiny}");
        let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } });
        let amid = |thinking: Value| {
            json!({ "reasoning_effort": "low", "messages": [{ "role": "user", "content": "hi" },
                { "role": "assistant", "tool_calls": [call], "thinking_blocks": thinking }, { "role": "tool", "tool_call_id": "c", "content": "x" }] })
        };
        let block = json!([{ "type": "thinking", "thinking": "hm", "signature": "s" }]);
        assert!(translated("claude-sonnet-4-5", &amid(json!([]))).unwrap().get("thinking").is_none());
        assert!(translated("claude-sonnet-4-5", &amid(block)).unwrap().get("thinking").is_some());
        assert!(translated("claude-opus-4-7", &amid(json!([]))).unwrap().get("thinking").is_some());
    }

    #[test]
    fn what_a_thinking_model_cannot_be_told_is_refused_by_name() {
        for (fields, param) in [
            (json!({ "temperature": 0.2 }), "temperature"),
            (json!({ "top_p": 0.5 }), "top_p"),
            (
                json!({ "tool_choice": "required", "tools": [{ "type": "function", "function": { "name": "f" } }] }),
                "tool_choice",
            ),
            (json!({ "reasoning_effort": "frantic" }), "reasoning_effort"),
        ] {
            let mut asked = json!({ "reasoning_effort": "low" });
            fields.as_object().unwrap().iter().for_each(|(name, value)| asked[name] = value.clone());
            assert_eq!(translated("claude-opus-4-7", &asked).unwrap_err().param.as_deref(), Some(param));
        }
        let never =
            translated("claude-3-5-haiku-20241022", &json!({ "reasoning_effort": "low" })).unwrap_err();
        assert_eq!(never.param.as_deref(), Some("reasoning_effort"));
    }
}
