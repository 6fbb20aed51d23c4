//! The learning curve as an SVG: quality, spend and regret by window, with the baselines as straight lines.

mod panel;

use plotters::drawing::{DrawingAreaErrorKind, IntoDrawingArea};
use plotters::prelude::SVGBackend;
use plotters::style::{IntoFont, RGBColor, TextStyle, WHITE};

use self::panel::{Panel, Straight};
use super::scoreboard::{Baseline, Scoreboard, Sums, Window};

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the learning curve: {0}")]
pub struct CurveError(#[from] DrawingAreaErrorKind<std::io::Error>);

/// Pixels.
const WIDTH: u32 = 1_000;
/// Pixels.
const HEIGHT: u32 = 1_020;
/// Pixels of the heading.
const HEAD: u32 = 66;

const INK: RGBColor = RGBColor(33, 37, 41);
const GREY: RGBColor = RGBColor(110, 116, 122);
const ROUTER: RGBColor = RGBColor(11, 94, 215);

fn colour(which: Baseline) -> RGBColor {
    match which {
        Baseline::BestSingle => RGBColor(176, 42, 55),
        Baseline::Cheapest => RGBColor(173, 97, 8),
        Baseline::Random => RGBColor(108, 117, 125),
        Baseline::BestQuality => RGBColor(111, 66, 193),
        Baseline::Oracle => RGBColor(20, 108, 67),
    }
}

/// What one panel shows: a title, the baselines worth drawing, and how to read a number off some sums.
struct Subject {
    title: &'static str,
    baselines: &'static [Baseline],
    from_zero: Floor,
    read: fn(&Sums) -> f64,
}

/// Where the vertical axis starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Floor {
    Zero,
    JustBelow,
}

const SUBJECTS: [Subject; 3] = [
    Subject {
        title: "Mean quality of the answers",
        baselines: &[Baseline::Oracle, Baseline::BestSingle, Baseline::Random, Baseline::Cheapest],
        from_zero: Floor::JustBelow,
        read: Sums::mean_quality,
    },
    Subject {
        title: "Spend, US cents per 100 requests",
        baselines: &[Baseline::Oracle, Baseline::BestSingle, Baseline::Random, Baseline::Cheapest],
        from_zero: Floor::Zero,
        read: |s| s.mean_spend_usd() * 1e4,
    },
    Subject {
        title: "Regret per request: utility short of the best model for each prompt",
        baselines: &[Baseline::BestSingle, Baseline::Random, Baseline::Cheapest],
        from_zero: Floor::Zero,
        read: Sums::mean_regret,
    },
];

/// Draws the run; `caption` says what was run and that it was simulated, if so.
///
/// # Errors
/// When the drawing backend refuses.
pub fn svg(board: &Scoreboard, caption: &str) -> Result<String, CurveError> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT)).into_drawing_area();
        root.fill(&WHITE)?;
        root.draw_text("Pointsman: learning curve", &font(22.0, &INK), (16, 12))?;
        root.draw_text(caption, &font(13.0, &GREY), (16, 42))?;
        let (_, body) = root.split_vertically(HEAD);
        for (subject, area) in SUBJECTS.iter().zip(body.split_evenly((SUBJECTS.len(), 1))) {
            panel(board, subject).draw(&area)?;
        }
        root.present()?;
    }
    Ok(text)
}

fn font(size: f64, colour: &RGBColor) -> TextStyle<'_> {
    TextStyle::from(("sans-serif", size).into_font()).color(colour)
}

fn panel<'a>(board: &Scoreboard, subject: &Subject) -> Panel<'a> {
    let total = board.total();
    let whole = |w: &&Window| w.router.requests * 2 >= board.window_size();
    let mut ended = 0.0;
    let curve = board
        .windows()
        .iter()
        .filter(whole)
        .map(|window| {
            ended += window.router.requests as f64;
            (ended, (subject.read)(&window.router))
        })
        .collect();
    let straight = |which: &Baseline| Straight {
        label: which.as_str(),
        colour: colour(*which),
        y: (subject.read)(total.baseline(*which)),
    };
    Panel {
        title: subject.title,
        curve,
        label: "Pointsman",
        colour: ROUTER,
        straights: subject.baselines.iter().map(straight).collect(),
        floor: subject.from_zero,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::playbook::Playbook;
    use super::super::scoreboard::Yardstick;
    use super::super::traffic::Record;
    use super::*;
    use crate::domain::Weights;

    /// A router that is random at first and looks better later.
    fn board(requests: usize) -> Scoreboard {
        let book = Arc::new(Playbook::simulated(1_500, 1));
        let yardstick = Yardstick::new(&book, Weights::new(0.9, 0.06, 0.02).unwrap(), book.best_single());
        let mut board = Scoreboard::new(Arc::clone(&book), yardstick);
        for play in 0..requests {
            let truths = &book.plays[play].truths;
            let best = (0..6).max_by(|a, b| truths[*a].quality.total_cmp(&truths[*b].quality)).unwrap();
            let served = if play % 1_000 > play / 2 { play % 6 } else { best };
            board.push(&Record {
                play,
                served,
                cost_usd: Some(truths[served].cost_usd),
                ..Record::default()
            });
        }
        board
    }

    #[test]
    fn the_picture_is_whole_and_names_every_line() {
        let text = svg(&board(1_500), "simulated").unwrap();
        assert!(text.trim_end().ends_with("</svg>"));
        for name in ["Pointsman", "best single", "cheapest", "random", "oracle", "simulated"] {
            assert!(text.contains(name), "{name}");
        }
        assert!(text.matches("<polyline").count() >= 3);
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }

    #[test]
    fn a_run_that_stopped_at_once_still_gives_a_picture() {
        assert!(svg(&board(0), "empty").unwrap().contains("</svg>"));
        assert!(svg(&board(1), "one").unwrap().contains("</svg>"));
    }
}
