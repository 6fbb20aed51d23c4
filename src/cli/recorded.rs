//! What offline commands work on: a store's log, or a folder of recorded outcomes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;

use super::progress::Progress;
use crate::config::{self, DEFAULT_FILE, DEFAULT_STORE_FILE, Settings};
use crate::domain::Context;
use crate::embed::{Encoder, EncoderOptions};
use crate::offline::dataset::Dataset;
use crate::offline::vectors::vectors;
use crate::routing::Featurizer;
use crate::store::{PASSWORD_ENV, Store, StoreAddress, StoreOptions};
use crate::wire::chat::prompt_of_text;

/// Where the recorded requests come from.
#[derive(Debug, Clone, Args)]
pub(super) struct From {
    /// A store: a file, or a URL of Postgres [default: the one of pointsman.toml, else pointsman.db].
    #[arg(long, value_name = "STORE", conflicts_with = "data")]
    pub(super) traces: Option<String>,
    /// A folder with prompts.jsonl.gz and outcomes.csv.gz.
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Folder to keep the prompts' vectors in; for --data.
    #[arg(long, value_name = "DIR", requires = "data")]
    pub(super) cache: Option<PathBuf>,
}

impl From {
    /// Opens the log. The service may be running on it.
    pub(super) fn store(&self) -> anyhow::Result<Store> {
        let address = address(self.traces.as_deref(), None)?;
        if address.is_missing() {
            bail!("there is no store {address}: name it with --traces, or a folder with --data");
        }
        Store::open(StoreOptions::at(address.clone())).with_context(|| format!("opening {address}"))
    }
}

/// The store that is named, else the one of the configuration that is named, else of the one that lies here, else the default one.
pub(super) fn address(store: Option<&str>, config: Option<&Path>) -> anyhow::Result<StoreAddress> {
    let env = |name: &str| std::env::var(name).ok();
    let here = Path::new(DEFAULT_FILE);
    match (store, config) {
        (Some(text), _) => named(text),
        (None, Some(file)) => Ok(config::load_store(file, &env)?.address),
        (None, None) if here.exists() => Ok(config::load_store(here, &env)?.address),
        (None, None) => Ok(PathBuf::from(DEFAULT_STORE_FILE).into()),
    }
}

/// A store by what an option says.
pub(super) fn named(text: &str) -> anyhow::Result<StoreAddress> {
    let password = std::env::var(PASSWORD_ENV).ok();
    StoreAddress::named(text, password.as_deref()).map_err(|why| anyhow!("the store's URL {why}"))
}

/// A folder in memory with one context and one vector a prompt.
pub(super) struct Folder {
    pub(super) dataset: Dataset,
    pub(super) contexts: Vec<Context>,
    pub(super) vectors: Vec<Arc<[f32]>>,
}

impl Folder {
    pub(super) fn load(path: &Path, cache: Option<&Path>, featurizer: &Featurizer) -> anyhow::Result<Self> {
        let dataset = Dataset::load(path)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let encoder = Encoder::start(EncoderOptions { threads, ..EncoderOptions::default() })?;
        let mut bar = Progress::new("prompts embedded");
        let vectors = vectors(&dataset, &encoder, cache, &mut |done, all| bar.at(done as u64, all as u64))?;
        let context = |(row, vector): (&crate::offline::dataset::Row, &Arc<[f32]>)| {
            let context = featurizer.context(vector, &prompt_of_text(&row.prompt));
            context.with_context(|| format!("{}: prompt {}", dataset.name, row.id))
        };
        let contexts = dataset.rows.iter().zip(&vectors).map(context).collect::<anyhow::Result<_>>()?;
        Ok(Self { dataset, contexts, vectors })
    }
}

/// The settings of a configuration, without its secrets: nothing is called.
pub(super) fn settings(file: &Path) -> anyhow::Result<Settings> {
    let env = |name: &str| match name {
        "POINTSMAN_LISTEN" => None,
        PASSWORD_ENV => std::env::var(name).ok(),
        _ => Some("unused offline".to_owned()),
    };
    Ok(config::load(file, &env)?)
}
