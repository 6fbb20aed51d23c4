//! Gemini's thought signatures inside of the ids of calls: formats that have no field for them still have clients that send ids back
//! as they came. In the hub's form a signature has its own place, so no other upstream ever sees it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Between the id and the signature.
const MARK: &str = "__thought__";

/// `id`, and with it the signature of `call`, a call of a chat completion, when it has one. Ids of letters, digits, `-` and `_` stay so.
pub(super) fn seal(id: String, call: &Value) -> String {
    match call.pointer("/extra_content/google/thought_signature").and_then(Value::as_str) {
        Some(signature) => format!("{id}{MARK}{}", URL_SAFE_NO_PAD.encode(signature)),
        None => id,
    }
}

/// The id alone, and the signature that it carries.
pub(super) fn open(id: &str) -> (&str, Option<String>) {
    let found = id.rsplit_once(MARK).and_then(|(id, sealed)| {
        let signature = String::from_utf8(URL_SAFE_NO_PAD.decode(sealed).ok()?).ok()?;
        (!id.is_empty()).then_some((id, Some(signature)))
    });
    found.unwrap_or((id, None))
}

/// A call of a chat completion under the id that a client sent back.
pub(super) fn call(id: &str, name: &str, arguments: &str) -> Value {
    let (id, signature) = open(id);
    let function = json!({ "name": name, "arguments": arguments });
    let mut call = json!({ "id": id, "type": "function", "function": function });
    if let Some(signature) = signature {
        call["extra_content"] = json!({ "google": { "thought_signature": signature } });
    }
    call
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::anthropic::client::{self, MessagesWriter};
    use crate::wire::chat::ChatRequest;
    use crate::wire::responses::{self, Echo, ResponsesWriter};
    use crate::wire::{AnswerWriter, gemini};

    /// Not text of base64's alphabet, as signatures may be.
    const SIGNATURE: &str = "CiQB+0/x==|ü";

    fn answer() -> Vec<u8> {
        let part = json!({ "functionCall": { "name": "weather", "args": { "city": "Oslo" } }, "thoughtSignature": SIGNATURE });
        let other = json!({ "functionCall": { "name": "time", "args": {} } });
        let answer = json!({ "responseId": "r1", "candidates": [{ "content": { "parts": [part, other] }, "finishReason": "STOP" }] });
        gemini::translate_reply(answer.to_string().as_bytes(), 1, "gemini-3-pro", "r1").unwrap().0
    }

    /// What Gemini is sent next: the calls' parts and the names that results are given under.
    fn next(request: &ChatRequest) -> (Vec<Value>, Vec<Value>) {
        let body: Value = serde_json::from_slice(&gemini::translate_request(request, None).unwrap()).unwrap();
        let parts = |i: usize| body["contents"][i]["parts"].as_array().unwrap().clone();
        (parts(1), parts(2).iter().map(|part| part["functionResponse"]["name"].clone()).collect())
    }

    fn check(request: &ChatRequest) {
        let ids: Vec<_> = request.messages()[1].tool_calls.iter().map(|call| call.id.clone()).collect();
        assert!(
            ids.iter().all(|id| id.starts_with("call_") && id.len() < 40),
            "others see short ids: {ids:?}"
        );
        let (calls, results) = next(request);
        assert_eq!(calls[0]["thoughtSignature"], SIGNATURE);
        assert_eq!(calls[0]["functionCall"]["args"], json!({ "city": "Oslo" }));
        assert!(calls[1].get("thoughtSignature").is_none());
        assert_eq!(results, ["weather", "time"]);
    }

    /// A client of Messages that answers the calls in `content`.
    fn messages_loop(content: &[Value]) {
        let result =
            |call: &Value| json!({ "type": "tool_result", "tool_use_id": call["id"], "content": "4 C" });
        let results: Vec<Value> = content.iter().map(result).collect();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        assert!(content.iter().all(|c| c["id"].as_str().unwrap().chars().all(allowed)), "{content:?}");
        let body = json!({ "model": "auto", "max_tokens": 100, "messages": [
            { "role": "user", "content": "hi" }, { "role": "assistant", "content": content }, { "role": "user", "content": results }] });
        check(&client::parse(body.to_string().as_bytes()).unwrap());
    }

    /// A client of Responses that answers the calls in `output`.
    fn responses_loop(output: &[Value]) {
        let mut input = vec![json!({ "role": "user", "content": "hi" })];
        input.extend(output.iter().cloned());
        input.extend(output.iter().map(
            |call| json!({ "type": "function_call_output", "call_id": call["call_id"], "output": "4 C" }),
        ));
        let body = json!({ "model": "auto", "input": input });
        check(&responses::parse(body.to_string().as_bytes()).unwrap().0);
    }

    /// The answer as a stream of the hub's chunks.
    fn chunks() -> Vec<String> {
        let answer: Value = serde_json::from_slice(&answer()).unwrap();
        let calls = answer["choices"][0]["message"]["tool_calls"].as_array().unwrap();
        let chunk = |delta: Value, reason: Value| {
            json!({ "id": "r1", "created": 1, "model": "m", "choices": [{ "index": 0, "delta": delta, "finish_reason": reason }] })
                .to_string()
        };
        let mut chunks: Vec<_> =
            calls.iter().map(|call| chunk(json!({ "tool_calls": [call] }), Value::Null)).collect();
        chunks.push(chunk(json!({}), json!("tool_calls")));
        chunks
    }

    /// The data of each event of that type.
    fn events(writer: &mut impl AnswerWriter, kind: &str) -> Vec<Value> {
        let mut text: String = chunks().iter().map(|chunk| writer.write(chunk.as_bytes(), None)).collect();
        text += &writer.end();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str::<Value>(data).ok())
            .filter(|e| e["type"] == kind)
            .collect()
    }

    #[test]
    fn a_signature_survives_a_tool_loop_of_messages() {
        let whole: Value = serde_json::from_slice(&client::reply(&answer()).unwrap()).unwrap();
        messages_loop(whole["content"].as_array().unwrap());
        let begun = events(&mut MessagesWriter::default(), "content_block_start");
        let arguments = [json!({ "city": "Oslo" }), json!({})];
        let blocks: Vec<_> = begun
            .iter()
            .zip(arguments)
            .map(|(event, input)| {
                let mut block = event["content_block"].clone();
                block["input"] = input;
                block
            })
            .collect();
        messages_loop(&blocks);
    }

    #[test]
    fn a_signature_survives_a_tool_loop_of_responses() {
        let whole: Value =
            serde_json::from_slice(&responses::reply(&answer(), &Echo::default()).unwrap()).unwrap();
        responses_loop(whole["output"].as_array().unwrap());
        let done = events(&mut ResponsesWriter::new(Echo::default()), "response.output_item.done");
        let items: Vec<_> = done.iter().map(|event| event["item"].clone()).collect();
        responses_loop(&items);
    }

    #[test]
    fn ids_without_a_signature_are_left_alone() {
        for id in ["call_1", "a__thought__", "a__thought__!", "__thought__QUJD", ""] {
            let expected = if id == "a__thought__" { ("a", Some(String::new())) } else { (id, None) };
            assert_eq!(open(id), expected);
        }
        assert_eq!(seal("call_1".to_owned(), &json!({ "id": "call_1" })), "call_1");
    }
}
