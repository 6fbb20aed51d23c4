//! Parts of a message as content blocks.

use serde_json::{Value, json};

use crate::wire::WireError;
use crate::wire::chat::Part;

/// Blocks of `parts`; empty texts are left out, the format refuses them.
///
/// # Errors
/// `Untranslatable`, with the path of the part.
pub(super) fn of_parts(parts: &[Part], path: &str) -> Result<Vec<Value>, WireError> {
    let blocks = parts.iter().enumerate().map(|(i, part)| of_part(part, &format!("{path}.content[{i}]")));
    blocks.filter_map(Result::transpose).collect()
}

/// Refuses kinds of parts that the format has no words for.
///
/// # Errors
/// `Untranslatable`, with the path of the part.
pub(super) fn check(part: &Part, path: &str) -> Result<(), WireError> {
    match part {
        Part::Text { .. } | Part::Refusal(_) | Part::File { data: Some(_), .. } => Ok(()),
        Part::Image { url } if is_sendable(url) => Ok(()),
        Part::Image { .. } => {
            let why = "the image must be an http(s) URL or a base64 data: URL";
            Err(WireError::untranslatable(format!("{path}.image_url.url"), why))
        }
        Part::File { data: None, .. } => {
            Err(WireError::untranslatable(path, "the file was uploaded to OpenAI; send it as file_data"))
        }
        Part::Audio { .. } => Err(WireError::untranslatable(path, "Anthropic's format has no audio")),
        Part::Other { kind } => {
            let why = format!("there is no translation for a part of type {kind}");
            Err(WireError::untranslatable(path, &why))
        }
    }
}

fn of_part(part: &Part, path: &str) -> Result<Option<Value>, WireError> {
    Ok(Some(match part {
        Part::Text { text, .. } | Part::Refusal(text) if text.is_empty() => return Ok(None),
        Part::Text { text, cache_control: Some(mark) } => {
            json!({ "type": "text", "text": text, "cache_control": mark })
        }
        Part::Text { text, .. } | Part::Refusal(text) => json!({ "type": "text", "text": text }),
        Part::Image { url } => json!({ "type": "image", "source": image_source(url) }),
        Part::File { data: Some(data), name } => document(data, name.as_deref(), path)?,
        Part::File { data: None, .. } | Part::Audio { .. } | Part::Other { .. } => {
            check(part, path)?;
            return Ok(None);
        }
    }))
}

fn is_sendable(url: &str) -> bool {
    split_data_url(url).is_some() || ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme))
}

fn image_source(url: &str) -> Value {
    match split_data_url(url) {
        Some((media_type, data)) => json!({ "type": "base64", "media_type": media_type, "data": data }),
        None => json!({ "type": "url", "url": url }),
    }
}

fn document(data: &str, name: Option<&str>, path: &str) -> Result<Value, WireError> {
    let source = match split_data_url(data) {
        Some((kind @ "application/pdf", data)) => {
            json!({ "type": "base64", "media_type": kind, "data": data })
        }
        _ => {
            let why = "Anthropic's format takes PDF files as base64 data: URLs";
            return Err(WireError::untranslatable(format!("{path}.file.file_data"), why));
        }
    };
    let mut block = json!({ "type": "document", "source": source });
    if let Some(name) = name {
        block["title"] = json!(name);
    }
    Ok(block)
}

/// Media type and base64 of `data:image/png;base64,...`.
pub(in crate::wire) fn split_data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?.split(';').next()?;
    (!media_type.is_empty() && !data.is_empty()).then_some((media_type, data))
}
