//! Everything that is wrong with one configuration, at once.

use std::fmt;
use std::path::{Path, PathBuf};

/// One fault: where it is, what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Line in the file, from 1; `None` for what is absent or lies outside the file.
    pub line: Option<usize>,
    /// The key, for example `models."local/qwen3-8b".price`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// All faults of one configuration, in the order of their lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFaults {
    /// The file, or a name for what is no file.
    pub file: PathBuf,
    /// At least one.
    pub faults: Vec<Fault>,
}

impl ConfigFaults {
    /// One fault that concerns the whole of `file`.
    pub fn whole(file: &Path, message: impl Into<String>) -> Self {
        let fault = Fault { line: None, path: String::new(), message: message.into() };
        Self { file: file.to_owned(), faults: vec![fault] }
    }

    /// Sorts by line, those without a line last.
    pub(super) fn sorted(file: &Path, mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|f| f.line.unwrap_or(usize::MAX));
        Self { file: file.to_owned(), faults }
    }
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        write!(f, "{}: {count} {}", self.file.display(), if count == 1 { "fault" } else { "faults" })?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for ConfigFaults {}
