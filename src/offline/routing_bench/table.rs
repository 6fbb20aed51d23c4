//! The figures of one protocol: a title, columns of means with intervals, and goals with a verdict each.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::report::Interval;

/// One field of a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Figure {
    /// Nothing to say.
    Blank,
    /// In words.
    Text(String),
    /// A mean over seeds, shown with so many decimals.
    Mean {
        /// The mean and its interval.
        #[serde(flatten)]
        interval: Interval,
        /// Decimals shown.
        #[serde(skip)]
        decimals: usize,
    },
    /// `quality@spend/budget`.
    Paced {
        /// Mean quality.
        quality: Interval,
        /// Mean spend over the budget.
        spend: Interval,
    },
}

impl Figure {
    /// A mean over seeds with four decimals.
    pub fn mean(values: &[f64]) -> Self {
        Self::Mean { interval: Interval::over(values), decimals: 4 }
    }

    /// A mean over seeds, shown with so many decimals.
    pub fn rounded(values: &[f64], decimals: usize) -> Self {
        Self::Mean { interval: Interval::over(values), decimals }
    }
}

impl Display for Figure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => Ok(()),
            Self::Text(text) => f.write_str(text),
            Self::Mean { interval, decimals } => with_interval(f, interval, *decimals),
            Self::Paced { quality, spend } => {
                with_interval(f, quality, 4)?;
                f.write_str(" @ ")?;
                with_interval(f, spend, 3)
            }
        }
    }
}

fn with_interval(f: &mut Formatter<'_>, interval: &Interval, decimals: usize) -> fmt::Result {
    write!(f, "{:.decimals$}", interval.mean)?;
    if interval.half_width > 0.0 { write!(f, " ±{:.decimals$}", interval.half_width) } else { Ok(()) }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Of what.
    pub name: String,
    /// One for each column after the name.
    pub figures: Vec<Figure>,
}

/// What was to be reached, and whether it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Goal {
    /// Its number and words.
    pub goal: String,
    /// What was measured.
    pub found: String,
    /// Whether that is enough.
    pub met: bool,
}

/// What a protocol found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// Of what, on which data.
    pub title: String,
    /// What was done, for those who read the figures.
    pub notes: Vec<String>,
    /// Names of the columns after the first.
    pub columns: Vec<String>,
    /// The lines.
    pub lines: Vec<Line>,
    /// The goals.
    pub goals: Vec<Goal>,
}

impl Table {
    /// Adds a line.
    pub fn line(&mut self, name: impl Into<String>, figures: Vec<Figure>) {
        self.lines.push(Line { name: name.into(), figures });
    }

    /// Adds a goal.
    pub fn goal(&mut self, goal: impl Into<String>, found: impl Into<String>, met: bool) {
        self.goals.push(Goal { goal: goal.into(), found: found.into(), met });
    }
}

impl Display for Table {
    /// Markdown.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))?;
        writeln!(f, "\n| | {} |", self.columns.join(" | "))?;
        writeln!(f, "|---|{}", "---|".repeat(self.columns.len()))?;
        for line in &self.lines {
            write!(f, "| {} |", line.name)?;
            line.figures.iter().try_for_each(|figure| write!(f, " {figure} |"))?;
            writeln!(f, "{}", " |".repeat(self.columns.len().saturating_sub(line.figures.len())))?;
        }
        if !self.goals.is_empty() {
            writeln!(f, "\n| goal | found | met |\n|---|---|---|")?;
        }
        for goal in &self.goals {
            let met = if goal.met { "yes" } else { "**no**" };
            writeln!(f, "| {} | {} | {met} |", goal.goal, goal.found)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_intervals_blanks_and_missed_goals() {
        let mut table = Table {
            title: "set".into(),
            notes: vec!["A note.".into()],
            columns: vec!["a".into(), "b".into()],
            lines: Vec::new(),
            goals: Vec::new(),
        };
        let spend = Interval { mean: 1.01, half_width: 0.0 };
        let quality = Interval { mean: 0.9, half_width: 0.002 };
        table.line("ours", vec![Figure::rounded(&[1.0, 3.0], 1), Figure::Paced { quality, spend }]);
        table.line("other", vec![Figure::Blank]);
        table.goal("G0: more than 1", "0.5", false);
        let shown = table.to_string();
        assert!(shown.contains("| ours | 2.0 ±12.7 | 0.9000 ±0.0020 @ 1.010 |"), "{shown}");
        assert!(shown.contains("| other |  | |\n"), "{shown}");
        assert!(shown.contains("| G0: more than 1 | 0.5 | **no** |"), "{shown}");
        assert!(serde_json::to_string(&table).unwrap().contains("\"half_width\":0.002"));
    }
}
