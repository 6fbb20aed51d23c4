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

fn of_part(part: &Part, path: &str) -> Result<Option<Value>, WireError> {
    Ok(Some(match part {
        Part::Text { text, .. } | Part::Refusal(text) if text.is_empty() => return Ok(None),
        Part::Text { text, cache_control: Some(mark) } => {
            json!({ "type": "text", "text": text, "cache_control": mark })
        }
        Part::Text { text, .. } | Part::Refusal(text) => json!({ "type": "text", "text": text }),
        Part::Image { url } => json!({ "type": "image", "source": image_source(url, path)? }),
        Part::File { data: Some(data), name } => document(data, name.as_deref(), path)?,
        Part::File { data: None, .. } => {
            return Err(WireError::untranslatable(
                path,
                "the file was uploaded to OpenAI; send it as file_data",
            ));
        }
        Part::Audio { .. } => return Err(WireError::untranslatable(path, "Anthropic's format has no audio")),
        Part::Other { kind } => {
            return Err(WireError::untranslatable(
                path,
                &format!("there is no translation for a part of type {kind}"),
            ));
        }
    }))
}

fn image_source(url: &str, path: &str) -> Result<Value, WireError> {
    if let Some((media_type, data)) = split_data_url(url) {
        return Ok(json!({ "type": "base64", "media_type": media_type, "data": data }));
    }
    let is_web = ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme));
    if !is_web {
        let why = "the image must be an http(s) URL or a base64 data: URL";
        return Err(WireError::untranslatable(format!("{path}.image_url.url"), why));
    }
    Ok(json!({ "type": "url", "url": url }))
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
fn split_data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?.split(';').next()?;
    (!media_type.is_empty() && !data.is_empty()).then_some((media_type, data))
}
