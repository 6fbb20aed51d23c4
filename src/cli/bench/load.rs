//! From folders of recorded outcomes to a world: choose models, embed, featurize.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::progress::Progress;
use crate::domain::Context;
use crate::embed::{Encoder, EncoderOptions, Student};
use crate::offline::dataset::{Dataset, Row};
use crate::offline::prior::Recorded;
use crate::offline::routing_bench::{Parting, World};
use crate::offline::vectors::vectors;
use crate::routing::featurize::Featurizer;
use crate::wire::chat::prompt_of_text;

/// Who reads the prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum ReadBy {
    /// MiniLM
    Minilm,
    /// The student, which reads in MiniLM's place under load
    Student,
    /// MiniLM where the policy learns (folds 2 to 4), the student where it is scored (fold 1)
    Switched,
    /// Either by lot, each reads half of the prompts: `adaptive` at the edge of overload
    Mixed,
}

/// Seed of the lots of [`ReadBy::Mixed`].
const LOTS: u64 = 0x6d69_7865;

impl ReadBy {
    /// All of them, MiniLM first.
    pub const ALL: [Self; 4] = [Self::Minilm, Self::Student, Self::Switched, Self::Mixed];

    /// What tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minilm => "MiniLM",
            Self::Student => "the student",
            Self::Switched => "MiniLM to learn, then the student",
            Self::Mixed => "either by lot",
        }
    }

    /// Whether the student reads each of `rows`.
    fn students(self, rows: &[Row]) -> Vec<bool> {
        let mut lots = StdRng::seed_from_u64(LOTS);
        rows.iter()
            .map(|row| match self {
                Self::Minilm => false,
                Self::Student => true,
                Self::Switched => row.fold == 1,
                Self::Mixed => lots.random_bool(0.5),
            })
            .collect()
    }
}

/// What all sets of a run are read with.
pub(in crate::cli) struct Loader {
    encoder: Encoder,
    student: Student,
    featurizer: Featurizer,
    cache: Option<PathBuf>,
    models: Vec<String>,
}

/// A set with its prompts' vectors and features.
pub(in crate::cli) struct Loaded {
    pub(super) set: Dataset,
    pub(super) contexts: Vec<Context>,
    pub(super) vectors: Vec<Arc<[f32]>>,
}

impl Loader {
    /// `models`: those to route between; empty: all that the sets have.
    pub fn new(cache: Option<PathBuf>, models: Vec<String>) -> anyhow::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let encoder = Encoder::start(EncoderOptions { threads, ..EncoderOptions::default() })?;
        let (student, featurizer) = (Student::built_in(encoder.windower().clone())?, Featurizer::built_in()?);
        featurizer.check_student(student.schema())?;
        Ok(Self { encoder, student, featurizer, cache, models })
    }

    /// Reads a folder; vectors are made of the whole set, so that the cache serves every choice of models.
    pub fn load(&self, folder: &Path, read_by: ReadBy) -> anyhow::Result<Loaded> {
        let mut all = self.load_as(folder, &[read_by])?;
        all.pop().context("a set that nobody reads")
    }

    /// Reads a folder once for each of `readers`.
    pub fn load_as(&self, folder: &Path, readers: &[ReadBy]) -> anyhow::Result<Vec<Loaded>> {
        let whole = Dataset::load(folder)?;
        let set = self.chosen(&whole)?;
        let mut bar = Progress::new(format!("prompts of {} embedded", whole.name));
        let vectors = vectors(&whole, &self.encoder, self.cache.as_deref(), &mut |done, all| {
            bar.at(done as u64, all as u64);
        })?;
        let loaded = |read_by: &ReadBy| {
            let contexts = self.contexts(&whole, &vectors, *read_by)?;
            Ok(Loaded { set: set.clone(), contexts, vectors: vectors.clone() })
        };
        readers.iter().map(loaded).collect()
    }

    fn contexts(
        &self,
        whole: &Dataset,
        vectors: &[Arc<[f32]>],
        read_by: ReadBy,
    ) -> anyhow::Result<Vec<Context>> {
        let students = read_by.students(&whole.rows);
        let context = |((row, vector), by_student): ((&Row, &Arc<[f32]>), bool)| {
            self.context(row, vector, by_student)
                .with_context(|| format!("{}: prompt {}", whole.name, row.id))
        };
        whole.rows.iter().zip(vectors).zip(students).map(context).collect()
    }

    fn context(&self, row: &Row, vector: &[f32], by_student: bool) -> anyhow::Result<Context> {
        let prompt = prompt_of_text(&row.prompt);
        if !by_student {
            return Ok(self.featurizer.context(vector, &prompt)?);
        }
        let components = self.student.read(&prompt.ask, &prompt.context)?.components;
        Ok(self.featurizer.context_of_components(&components, &prompt)?)
    }

    /// The set with the chosen models' columns and all its rows.
    fn chosen(&self, whole: &Dataset) -> anyhow::Result<Dataset> {
        if self.models.is_empty() {
            return Ok(whole.clone());
        }
        for model in &self.models {
            let known = whole.models.join(", ");
            ensure!(
                whole.models.contains(model),
                "--models: {} has no model {model:?}; it has {known}",
                whole.name
            );
        }
        Ok(whole.with_models(&self.models))
    }
}

impl Loaded {
    /// The world of one set.
    pub fn world(&self, parting: Parting) -> anyhow::Result<World> {
        Ok(World::new(&self.set, &self.contexts, &self.vectors, parting)?)
    }

    /// What a prior is fitted on.
    pub fn recorded(&self) -> Recorded<'_> {
        Recorded { set: &self.set, contexts: &self.contexts }
    }

    /// The world of this set followed by another, over the models that both have; of those, the ones with a cost on every prompt of both.
    pub fn followed_by(&self, then: &Self) -> anyhow::Result<World> {
        let models: Vec<String> = self
            .set
            .models
            .iter()
            .filter(|m| priced(&self.set, m) && priced(&then.set, m))
            .cloned()
            .collect();
        ensure!(
            !models.is_empty(),
            "{} and {} have no model with costs in common",
            self.set.name,
            then.set.name
        );
        let mut set = self.set.with_models(&models);
        let parting = Parting::Rows(set.rows.len());
        let second = then.set.with_models(&models);
        set.name = format!("{} then {}", set.name, second.name);
        set.rows.extend(second.rows);
        set.cells.extend(second.cells);
        let contexts = [self.contexts.as_slice(), &then.contexts].concat();
        let vectors = [self.vectors.as_slice(), &then.vectors].concat();
        Ok(World::new(&set, &contexts, &vectors, parting)?)
    }
}

fn priced(set: &Dataset, model: &str) -> bool {
    let Some(k) = set.models.iter().position(|m| m == model) else { return false };
    set.cells.iter().filter_map(|cells| cells[k]).all(|cell| cell.cost_usd.is_some())
}
