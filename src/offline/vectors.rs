//! Vectors of a data set's prompts, kept on disk so that a second run does not embed again.
//!
//! A file is named by the hash of all that its vectors depend on: weights, reading of the text, budget, and the prompts in their
//! order. It ends with a checksum; a file that is damaged or of another make is ignored and written anew.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::dataset::{Dataset, Row};
use crate::domain::hex;
use crate::embed::{ENCODER_SHA256, EmbedError, Encoder, READING_VERSION, Text};

const MAGIC: &[u8; 8] = b"PMVEC001";
const HASH: usize = 32;
/// Prompts handed to the encoder at a time: enough for full batches, few enough to see progress.
const CHUNK: usize = 64;

/// Why there are no vectors.
#[derive(Debug, thiserror::Error)]
pub enum VectorsError {
    /// A prompt could not be embedded.
    #[error("cannot embed the prompts of {dataset}: {source}")]
    Embed {
        /// Of which set.
        dataset: String,
        /// Why.
        source: EmbedError,
    },
    /// The cache folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// What was written.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// One vector a prompt, in the order of `dataset.rows`, from `cache_dir` or the encoder. `progress` gets (done, total).
///
/// # Errors
/// When a prompt cannot be embedded or the cache folder cannot be written.
pub fn vectors(
    dataset: &Dataset,
    encoder: &Encoder,
    cache_dir: Option<&Path>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Arc<[f32]>>, VectorsError> {
    let total = dataset.rows.len();
    if let Some(found) = cache_dir.and_then(|dir| kept(dataset, encoder, dir)) {
        progress(total, total);
        return Ok(found);
    }
    let prompts: Vec<&str> = dataset.rows.iter().map(|row| row.prompt.as_str()).collect();
    let made = embed(&prompts, encoder, progress)
        .map_err(|source| VectorsError::Embed { dataset: dataset.name.clone(), source })?;
    if let Some(dir) = cache_dir {
        let key = key_of(&dataset.rows, encoder.options().max_tokens);
        let path = dir.join(file_name(&dataset.name, &key));
        write(&path, &key, &made).map_err(|source| VectorsError::Io { path, source })?;
    }
    Ok(made)
}

/// The vectors of a data set if a run before has kept them.
pub(super) fn kept(dataset: &Dataset, encoder: &Encoder, cache_dir: &Path) -> Option<Vec<Arc<[f32]>>> {
    let key = key_of(&dataset.rows, encoder.options().max_tokens);
    read(&cache_dir.join(file_name(&dataset.name, &key)), &key, dataset.rows.len())
}

/// Vectors of prompts, in their order.
pub(super) fn embed(
    prompts: &[&str],
    encoder: &Encoder,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Arc<[f32]>>, EmbedError> {
    // By length, so that little of a batch is padding.
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|i| prompts[*i].len());
    let mut out: Vec<Arc<[f32]>> = vec![Arc::from([]); prompts.len()];
    for (at, chunk) in order.chunks(CHUNK).enumerate() {
        let texts: Vec<Text<'_>> = chunk.iter().map(|i| Text { ask: prompts[*i], context: "" }).collect();
        for (i, embedded) in chunk.iter().zip(encoder.embed_all(&texts)?) {
            out[*i] = embedded.vector;
        }
        progress((at * CHUNK + CHUNK).min(prompts.len()), prompts.len());
    }
    Ok(out)
}

fn key_of(rows: &[Row], max_tokens: usize) -> [u8; HASH] {
    let mut hash = Sha256::new();
    hash.update(ENCODER_SHA256);
    hash.update(READING_VERSION.to_le_bytes());
    hash.update((max_tokens as u64).to_le_bytes());
    for row in rows {
        hash.update((row.prompt.len() as u64).to_le_bytes());
        hash.update(&row.prompt);
    }
    hash.finalize().into()
}

fn file_name(dataset: &str, key: &[u8; HASH]) -> String {
    format!("{dataset}-{}.f32", hex(&key[..8]))
}

/// `None` when there is no such file, or it is not whole, or not of this key.
fn read(path: &Path, key: &[u8; HASH], rows: usize) -> Option<Vec<Arc<[f32]>>> {
    let bytes = std::fs::read(path).ok()?;
    let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(HASH)?)?;
    if Sha256::digest(body).as_slice() != checksum {
        tracing::warn!(path = %path.display(), "a file of vectors is damaged and is made anew");
        return None;
    }
    let body = body.strip_prefix(MAGIC)?.strip_prefix(key)?;
    if rows == 0 || body.is_empty() || body.len() % (4 * rows) != 0 {
        return None;
    }
    let row =
        |bytes: &[u8]| bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Some(body.chunks_exact(body.len() / rows).map(row).collect())
}

/// Whole or not at all: written beside and renamed.
fn write(path: &Path, key: &[u8; HASH], vectors: &[Arc<[f32]>]) -> std::io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(key);
    vectors.iter().flat_map(|v| v.iter()).for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    super::replace_file(path, |file| file.write_all(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_vectors() -> Vec<Arc<[f32]>> {
        vec![Arc::from([0.6, 0.8]), Arc::from([-1.0, f32::MIN_POSITIVE]), Arc::from([0.0, 1.0])]
    }

    fn row(prompt: &str) -> Row {
        Row { id: prompt.into(), task: "t".into(), fold: 2, split: None, prompt: prompt.into() }
    }

    #[test]
    fn what_is_written_is_read_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/set.f32");
        write(&path, &[7; HASH], &some_vectors()).unwrap();
        assert_eq!(read(&path, &[7; HASH], 3), Some(some_vectors()));
        assert_eq!(read(&path, &[8; HASH], 3), None);
        assert_eq!(read(&path, &[7; HASH], 0), None);
    }

    #[test]
    fn a_file_with_any_byte_changed_or_missing_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.f32");
        write(&path, &[7; HASH], &some_vectors()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(read(&path, &[7; HASH], 3), None, "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(read(&path, &[7; HASH], 3), None, "cut at {at}");
        }
    }

    #[test]
    fn the_key_depends_on_every_prompt_their_order_and_the_budget() {
        let keys = [
            key_of(&[row("ab"), row("c")], 128),
            key_of(&[row("a"), row("bc")], 128),
            key_of(&[row("c"), row("ab")], 128),
            key_of(&[row("ab"), row("c")], 64),
        ];
        assert!((0..4).all(|i| (0..i).all(|j| keys[i] != keys[j])));
        assert_eq!(keys[0], key_of(&[row("ab"), row("c")], 128));
    }
}
