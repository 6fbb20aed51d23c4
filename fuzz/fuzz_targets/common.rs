//! What the targets of the formats have in common.
#![allow(dead_code, reason = "each target uses a part of it")]

use pointsman::wire::chat::{ChatRequest, OpenAiReader, read_chunk};
use pointsman::wire::sse::{Decoder, Event};
use pointsman::wire::{AnswerWriter, ChunkReader, RawChunk};
use serde_json::Value;

/// The first byte says which part of a translator gets the rest.
pub fn split(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(mode, rest)| (mode % 8, rest))
}

pub fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("what we write is JSON")
}

fn events(pieces: &[&[u8]]) -> Option<Vec<Event>> {
    let (mut decoder, mut events) = (Decoder::with_cap(1 << 16), Vec::new());
    for piece in pieces {
        events.extend(decoder.push(piece).ok()?);
    }
    events.extend(decoder.finish());
    Some(events)
}

/// Until the stream ends or is refused. No chunk is anything but JSON, and none comes after the end.
fn chunks(mut reader: impl ChunkReader, events: &[Event]) -> Vec<RawChunk> {
    let mut chunks = Vec::new();
    for event in events {
        if reader.is_done() {
            assert!(reader.is_whole(), "an end mark makes it whole");
            break;
        }
        match reader.read(event) {
            Ok(more) => chunks.extend(more),
            Err(_) => return chunks,
        }
    }
    chunks.extend(reader.finish());
    for chunk in chunks.iter().filter(|c| !c.data.is_empty()) {
        json(chunk.data.as_bytes());
    }
    chunks
}

/// Reads a stream whole and in two cuts, and writes what it gives for `writers`.
pub fn stream<R: ChunkReader>(bytes: &[u8], reader: impl Fn() -> R, writers: Vec<Box<dyn AnswerWriter>>) {
    let middle = bytes.len() / 2;
    let (Some(whole), Some(cut)) = (events(&[bytes]), events(&[&bytes[..middle], &bytes[middle..]])) else { return };
    let given = chunks(reader(), &whole);
    assert_eq!(given, chunks(reader(), &cut));
    for mut writer in writers {
        let mut out = String::new();
        for chunk in given.iter().filter(|c| !c.data.is_empty()) {
            out += &writer.write(chunk.data.as_bytes(), None);
        }
        out += &writer.end();
        let mut decoder = Decoder::default();
        decoder.push(out.as_bytes()).expect("our own stream is framed well");
        assert!(decoder.finish().is_none(), "it ends with a whole event");
    }
}

/// What our own readers say of chunks that came from a translator.
pub fn openai_stream(bytes: &[u8], writers: Vec<Box<dyn AnswerWriter>>) {
    stream(bytes, OpenAiReader::default, writers);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = read_chunk(text);
    }
}

/// A request in any client's format.
pub fn request(bytes: &[u8]) -> Option<ChatRequest> {
    let request = ChatRequest::parse(bytes).ok()?;
    let _ = request.prompt();
    Some(request)
}
