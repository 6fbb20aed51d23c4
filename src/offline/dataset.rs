//! Folders of recorded outcomes: real prompts with many models' quality and cost on each.
//!
//! A folder holds `prompts.jsonl.gz` (one object a line: `id`, `task`, `fold`, `prompt`, optional `split`) and
//! `outcomes.csv.gz` (`prompt_id,model,quality,cost_usd,input_tokens,output_tokens,latency_ms`; a blank cell is unknown).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::Deserialize;

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file is missing or unreadable.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not of the format.
    #[error("{} line {line}: {message}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// Nothing to work on.
    #[error("{} holds no prompt with an outcome", path.display())]
    Empty {
        /// Which folder.
        path: PathBuf,
    },
}

/// One prompt.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Row {
    /// Unique in its folder.
    pub id: String,
    /// Kind of task, as the origin labels it.
    pub task: String,
    /// 1 to 4; fold 1 is for tuning, 2 to 4 for training.
    pub fold: u8,
    /// The origin's own split, for example `val` or `test`.
    #[serde(default)]
    pub split: Option<String>,
    /// The words.
    pub prompt: String,
}

/// What one model did on one prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// In [0, 1].
    pub quality: f64,
    /// USD; `None`: unknown.
    pub cost_usd: Option<f64>,
    /// `None`: unknown.
    pub input_tokens: Option<u32>,
    /// `None`: unknown.
    pub output_tokens: Option<u32>,
    /// `None`: unknown.
    pub latency_ms: Option<f64>,
}

/// A folder in memory.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The folder's name.
    pub name: String,
    /// Prompts in file order, shape `[n]`.
    pub rows: Vec<Row>,
    /// Models by name, sorted, shape `[k]`.
    pub models: Vec<String>,
    /// Outcomes, shape `[n][k]`; `None`: that model did not answer that prompt.
    pub cells: Vec<Vec<Option<Cell>>>,
}

#[derive(Deserialize)]
struct OutcomeLine {
    prompt_id: String,
    model: String,
    quality: Option<f64>,
    cost_usd: Option<f64>,
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    latency_ms: Option<f64>,
}

impl Dataset {
    /// Reads a folder whole.
    ///
    /// # Errors
    /// When a file is missing, a line is not of the format, an outcome names an unknown prompt, or there is no outcome.
    pub fn load(folder: &Path) -> Result<Self, DatasetError> {
        let rows = read_prompts(&folder.join("prompts.jsonl.gz"))?;
        let path = folder.join("outcomes.csv.gz");
        let lines = read_outcomes(&path)?;
        let mut models: Vec<String> = lines.iter().map(|l| l.model.clone()).collect();
        models.sort();
        models.dedup();
        let row_of: HashMap<&str, usize> = rows.iter().enumerate().map(|(i, r)| (r.id.as_str(), i)).collect();
        let column_of: HashMap<&str, usize> =
            models.iter().enumerate().map(|(k, m)| (m.as_str(), k)).collect();
        let mut cells = vec![vec![None; models.len()]; rows.len()];
        for (at, line) in lines.iter().enumerate() {
            let fault = |message| DatasetError::Line { path: path.clone(), line: at + 2, message };
            let Some(&row) = row_of.get(line.prompt_id.as_str()) else {
                return Err(fault(format!("no prompt has the id {:?}", line.prompt_id)));
            };
            if let Some(cell) = cell(line).map_err(fault)? {
                cells[row][column_of[line.model.as_str()]] = Some(cell);
            }
        }
        if cells.iter().flatten().all(Option::is_none) {
            return Err(DatasetError::Empty { path: folder.to_owned() });
        }
        let name = folder.file_name().map_or_else(|| "data".into(), |n| n.to_string_lossy().into_owned());
        Ok(Self { name, rows, models, cells })
    }

    /// The same prompts with the named models only.
    pub fn with_models(&self, models: &[String]) -> Self {
        let keep: Vec<usize> = (0..self.models.len()).filter(|k| models.contains(&self.models[*k])).collect();
        Self {
            name: self.name.clone(),
            rows: self.rows.clone(),
            models: keep.iter().map(|k| self.models[*k].clone()).collect(),
            cells: self.cells.iter().map(|cells| keep.iter().map(|k| cells[*k]).collect()).collect(),
        }
    }

    /// The same set with the named models only, and without prompts that one of them did not answer.
    pub fn restricted_to(&self, models: &[String]) -> Self {
        let keep: Vec<usize> = (0..self.models.len()).filter(|k| models.contains(&self.models[*k])).collect();
        let full = |i: &usize| keep.iter().all(|k| self.cells[*i][*k].is_some());
        let rows: Vec<usize> = (0..self.rows.len()).filter(full).collect();
        Self {
            name: self.name.clone(),
            rows: rows.iter().map(|i| self.rows[*i].clone()).collect(),
            models: keep.iter().map(|k| self.models[*k].clone()).collect(),
            cells: rows.iter().map(|i| keep.iter().map(|k| self.cells[*i][*k]).collect()).collect(),
        }
    }
}

fn cell(line: &OutcomeLine) -> Result<Option<Cell>, String> {
    let Some(quality) = line.quality else { return Ok(None) };
    if !(0.0..=1.0).contains(&quality) {
        return Err(format!("quality {quality} is not in [0, 1]"));
    }
    if let Some(cost) = line.cost_usd.filter(|c| !c.is_finite() || *c < 0.0) {
        return Err(format!("cost_usd {cost} is not a finite number >= 0"));
    }
    let tokens = |count: Option<f64>| count.map(|c| c as u32);
    Ok(Some(Cell {
        quality,
        cost_usd: line.cost_usd,
        input_tokens: tokens(line.input_tokens),
        output_tokens: tokens(line.output_tokens),
        latency_ms: line.latency_ms,
    }))
}

fn open(path: &Path) -> Result<BufReader<GzDecoder<File>>, DatasetError> {
    let file = File::open(path).map_err(|source| DatasetError::Io { path: path.to_owned(), source })?;
    Ok(BufReader::new(GzDecoder::new(file)))
}

fn read_prompts(path: &Path) -> Result<Vec<Row>, DatasetError> {
    let mut rows = Vec::new();
    for (at, line) in open(path)?.lines().enumerate() {
        let line = line.map_err(|source| DatasetError::Io { path: path.to_owned(), source })?;
        let row = serde_json::from_str(&line).map_err(|e| DatasetError::Line {
            path: path.to_owned(),
            line: at + 1,
            message: e.to_string(),
        })?;
        rows.push(row);
    }
    Ok(rows)
}

fn read_outcomes(path: &Path) -> Result<Vec<OutcomeLine>, DatasetError> {
    let mut text = String::new();
    open(path)?
        .read_to_string(&mut text)
        .map_err(|source| DatasetError::Io { path: path.to_owned(), source })?;
    csv::Reader::from_reader(text.as_bytes())
        .deserialize()
        .enumerate()
        .map(|(at, line)| {
            line.map_err(|e| DatasetError::Line {
                path: path.to_owned(),
                line: at + 2,
                message: e.to_string(),
            })
        })
        .collect()
}
