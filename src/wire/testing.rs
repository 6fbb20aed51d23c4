//! What the tests of several formats do with their readers and writers.

use super::chat::OpenAiReader;
use super::sse::{Decoder, Event};
use super::{AnswerWriter, ChunkError, ChunkReader, RawChunk};

/// The chunks that the packets become, those held back until the end too, and whether the answer was whole before those.
pub(super) fn read_all(
    mut reader: impl ChunkReader,
    packets: &[&[u8]],
) -> Result<(Vec<RawChunk>, bool), ChunkError> {
    let (mut decoder, mut chunks) = (Decoder::default(), Vec::new());
    for packet in packets {
        for event in decoder.push(packet).unwrap() {
            chunks.extend(reader.read(&event)?);
        }
    }
    let whole = reader.is_whole();
    chunks.extend(reader.finish());
    Ok((chunks, whole))
}

/// The client's events that `bytes` of an OpenAI stream become, cut at `cuts`.
pub(super) fn write_all(mut writer: impl AnswerWriter, bytes: &[u8], cuts: &[usize]) -> Vec<Event> {
    let (mut decoder, mut reader) = (Decoder::default(), OpenAiReader::default());
    let mut out = String::new();
    let mut ends: Vec<usize> = cuts.iter().map(|c| c % bytes.len()).chain([bytes.len()]).collect();
    ends.sort_unstable();
    let mut start = 0;
    for end in ends {
        for event in decoder.push(&bytes[start..end]).unwrap() {
            for chunk in reader.read(&event).unwrap() {
                out += &writer.write(chunk.data.as_bytes(), None);
            }
        }
        start = end;
    }
    for chunk in reader.finish() {
        out += &writer.write(chunk.data.as_bytes(), None);
    }
    out += &writer.end();
    Decoder::default().push(out.as_bytes()).unwrap()
}
