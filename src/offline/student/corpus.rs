//! The texts that the student learns from and is measured on, with the teacher's components of each.

use std::collections::HashSet;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::super::dataset::Dataset;
use super::super::vectors::{embed, vectors};
use super::{Progress, Step, StudentFitError, Teacher};
use crate::domain::hex;
use crate::embed::student::StudentSource;
use crate::embed::{Student, TokenWindow};

/// The fold that measures.
const HELD_OUT: u8 = 1;

/// Texts of our own making, all fitted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// What they are called in the manifest.
    pub name: String,
    /// The texts.
    pub texts: Vec<String>,
}

/// Texts as token sequences, and their components.
pub(super) struct Corpus {
    pub windows: Vec<TokenWindow>,
    /// Shape `[n * k]`.
    targets: Vec<f32>,
    pub components: usize,
    /// Which are fitted on.
    pub train: Vec<usize>,
    /// Which are measured with.
    pub held_out: Vec<usize>,
    pub sources: Vec<StudentSource>,
}

impl Corpus {
    pub fn gather(
        datasets: &[Dataset],
        own: &[Texts],
        teacher: Teacher<'_>,
        cache_dir: Option<&Path>,
        progress: Progress<'_>,
    ) -> Result<Self, StudentFitError> {
        let total = datasets.iter().map(|set| set.rows.len()).sum::<usize>()
            + own.iter().map(|texts| texts.texts.len()).sum::<usize>();
        let mut corpus = Self {
            windows: Vec::with_capacity(total),
            targets: Vec::new(),
            components: 0,
            train: Vec::new(),
            held_out: Vec::new(),
            sources: Vec::new(),
        };
        let (mut seen, mut before) = (HashSet::new(), 0);
        for set in datasets {
            let found = vectors(set, teacher.encoder, cache_dir, &mut |done, _| {
                progress(Step::Texts, before + done, total);
            })?;
            before += set.rows.len();
            let texts = set.rows.iter().map(|row| (row.prompt.as_str(), row.fold == HELD_OUT));
            corpus.add(&set.name, texts.zip(found), teacher, &mut seen)?;
        }
        for Texts { name, texts } in own {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let found = embed(&texts, teacher.encoder, &mut |done, _| {
                progress(Step::Texts, before + done, total);
            })?;
            before += texts.len();
            corpus.add(name, texts.iter().map(|text| (*text, false)).zip(found), teacher, &mut seen)?;
        }
        Ok(corpus)
    }

    fn add<'t, V: AsRef<[f32]>>(
        &mut self,
        name: &str,
        texts: impl Iterator<Item = ((&'t str, bool), V)>,
        teacher: Teacher<'_>,
        seen: &mut HashSet<[u8; 32]>,
    ) -> Result<(), StudentFitError> {
        let (mut rows, mut hash) = (0, Sha256::new());
        for ((text, held_out), vector) in texts {
            if !seen.insert(Sha256::digest(text).into()) {
                continue;
            }
            let components = teacher.featurizer.components(vector.as_ref())?;
            self.components = components.len();
            if held_out {
                self.held_out.push(self.windows.len());
            } else {
                self.train.push(self.windows.len());
                rows += 1;
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text);
            }
            self.targets.extend(components);
            self.windows.push(teacher.encoder.windower().window(text, "")?.window);
        }
        let sha256 = hex(&hash.finalize());
        self.sources.push(StudentSource { name: name.to_owned(), rows, sha256 });
        Ok(())
    }

    /// The teacher's components of a text, shape `[k]`.
    pub fn target(&self, i: usize) -> &[f32] {
        &self.targets[i * self.components..][..self.components]
    }

    /// `a / (a + share)` for each token's share of all tokens fitted on, shape `[vocabulary]`.
    pub fn weights(&self, vocabulary: usize, a: f64) -> Vec<f32> {
        let mut counts = vec![0u64; vocabulary];
        for id in self.train.iter().flat_map(|i| &self.windows[*i].ids) {
            if let Some(count) = counts.get_mut(*id as usize) {
                *count += 1;
            }
        }
        let total = counts.iter().sum::<u64>().max(1) as f64;
        counts.iter().map(|count| (a / (a + *count as f64 / total)) as f32).collect()
    }

    /// R2 of each component on the texts that measure, shape `[k]`.
    pub fn r2(&self, student: &Student) -> Vec<f64> {
        let (n, k) = (self.held_out.len().max(1) as f64, self.components);
        let mut mean = vec![0.0; k];
        for i in &self.held_out {
            mean.iter_mut().zip(self.target(*i)).for_each(|(sum, y)| *sum += f64::from(*y) / n);
        }
        let (mut missed, mut varied) = (vec![0.0; k], vec![0.0; k]);
        for i in &self.held_out {
            let said = student.components(&self.windows[*i]);
            for (j, y) in self.target(*i).iter().enumerate() {
                missed[j] += (f64::from(*y) - f64::from(said[j])).powi(2);
                varied[j] += (f64::from(*y) - mean[j]).powi(2);
            }
        }
        missed.iter().zip(&varied).map(|(m, v)| if *v > 0.0 { 1.0 - m / v } else { 0.0 }).collect()
    }
}
