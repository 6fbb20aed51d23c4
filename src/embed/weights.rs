//! The encoder's files: built into the binary, or read from a folder and checked.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::EmbedError;
use crate::domain::hex;

macro_rules! built_in {
    ($file:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/all-MiniLM-L6-v2/", $file))
    };
}

/// SHA-256 of `model.safetensors`, in hex: names the encoder in manifests and cache keys.
pub const ENCODER_SHA256: &str = "ef4f66adbac55a55f9d5a2d865d84a17f42e2f202b49d0235c77d3cdd5b19ce9";
const CONFIG_SHA256: &str = "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41";
const TOKENIZER_SHA256: &str = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037";

const CONFIG: &[u8] = built_in!("config.json");
const TOKENIZER: &[u8] = built_in!("tokenizer.json");
const MODEL: &[u8] = built_in!("model.safetensors");

/// Where the encoder's files come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum WeightSource {
    /// From the binary itself.
    #[default]
    BuiltIn,
    /// From a folder with `config.json`, `model.safetensors` and `tokenizer.json`.
    Folder(PathBuf),
}

/// The three files, the pinned ones.
pub(super) struct Files {
    pub config: Cow<'static, [u8]>,
    pub tokenizer: Cow<'static, [u8]>,
    pub model: Cow<'static, [u8]>,
}

impl Files {
    /// # Errors
    /// When a file is missing or is not the pinned one.
    pub fn load(source: &WeightSource) -> Result<Self, EmbedError> {
        Ok(Self {
            config: file(source, "config.json", CONFIG, CONFIG_SHA256)?,
            tokenizer: tokenizer_file(source)?,
            model: file(source, "model.safetensors", MODEL, ENCODER_SHA256)?,
        })
    }
}

/// The tokenizer's file alone, its hash checked.
///
/// # Errors
/// When it is missing or is not the pinned one.
pub(super) fn tokenizer_file(source: &WeightSource) -> Result<Cow<'static, [u8]>, EmbedError> {
    file(source, "tokenizer.json", TOKENIZER, TOKENIZER_SHA256)
}

fn file(
    source: &WeightSource,
    name: &str,
    built_in: &'static [u8],
    expected: &'static str,
) -> Result<Cow<'static, [u8]>, EmbedError> {
    let WeightSource::Folder(folder) = source else {
        // A test checks them. Doing it here would bring all of the file into memory, half of which is seldom read.
        return Ok(Cow::Borrowed(built_in));
    };
    let path = folder.join(name);
    let bytes = std::fs::read(&path)
        .map_err(|source| EmbedError::Io { file: path.clone(), source: Arc::new(source) })?;
    let found = hex(&Sha256::digest(&bytes));
    if found == expected {
        Ok(Cow::Owned(bytes))
    } else {
        Err(EmbedError::WeightsMismatch { file: path, expected, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_files_are_the_pinned_ones() {
        let Files { config, tokenizer, model } = Files::load(&WeightSource::BuiltIn).unwrap();
        assert_eq!(hex(&Sha256::digest(config)), CONFIG_SHA256);
        assert_eq!(hex(&Sha256::digest(tokenizer)), TOKENIZER_SHA256);
        assert_eq!(hex(&Sha256::digest(model)), ENCODER_SHA256);
    }

    #[test]
    fn a_folder_with_a_changed_file_is_refused_with_its_name_and_both_hashes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), b"{}").unwrap();
        let error = Files::load(&WeightSource::Folder(folder.path().to_owned())).err().unwrap();
        let text = error.to_string();
        let empty_object = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert!(text.contains("config.json") && text.contains(CONFIG_SHA256) && text.contains(empty_object));
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Files::load(&WeightSource::Folder(folder.path().to_owned())).err().unwrap();
        assert!(matches!(error, EmbedError::Io { ref file, .. } if file.ends_with("config.json")), "{error}");
    }
}
