//! The report's pictures as SVG: spend against quality, calibration, propensities.

use plotters::chart::ChartBuilder;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::prelude::{Cartesian2d, SVGBackend};
use plotters::series::LineSeries;
use plotters::style::{Color, IntoFont, RGBColor, TextStyle, WHITE};

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw: {0}")]
pub struct PlotError(#[from] DrawingAreaErrorKind<std::io::Error>);

/// Pixels.
const SIZE: (u32, u32) = (760, 480);
const INK: RGBColor = RGBColor(33, 37, 41);
const GREY: RGBColor = RGBColor(140, 146, 152);
const BLUE: RGBColor = RGBColor(11, 94, 215);
const RED: RGBColor = RGBColor(176, 42, 55);

/// Title and what the axes show.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// Above the picture.
    pub title: &'a str,
    /// Below it.
    pub x: &'a str,
    /// At its left.
    pub y: &'a str,
}

type Chart<'a, 'b> =
    plotters::chart::ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A line through `curve`, and named points beside it.
///
/// # Errors
/// When the backend refuses.
pub fn curve(
    labels: &Labels<'_>,
    curve: &[(f64, f64)],
    named: &[(String, (f64, f64))],
) -> Result<String, PlotError> {
    let points = || curve.iter().copied().chain(named.iter().map(|(_, p)| *p)).filter(is_finite);
    drawn(labels, spans(points()), |chart| {
        chart.draw_series(LineSeries::new(curve.iter().copied().filter(is_finite), BLUE.stroke_width(2)))?;
        chart
            .draw_series(curve.iter().filter(|p| is_finite(p)).map(|p| Circle::new(*p, 3, BLUE.filled())))?;
        for (name, point) in named.iter().filter(|(_, p)| is_finite(p)) {
            let style = TextStyle::from(("sans-serif", 12).into_font()).color(&INK);
            chart.draw_series([Circle::new(*point, 4, RED.filled())])?;
            chart.draw_series([Text::new(name.clone(), *point, style)])?;
        }
        Ok(())
    })
}

/// Points against the diagonal on [0, 1]; the size of a point follows its count.
///
/// # Errors
/// When the backend refuses.
pub fn calibration(labels: &Labels<'_>, bins: &[(f64, f64, usize)]) -> Result<String, PlotError> {
    let most = bins.iter().map(|(_, _, n)| *n).max().unwrap_or(1).max(1) as f64;
    drawn(labels, ((0.0, 1.0), (0.0, 1.0)), |chart| {
        chart.draw_series([PathElement::new(vec![(0.0, 0.0), (1.0, 1.0)], GREY.stroke_width(1))])?;
        chart.draw_series(bins.iter().filter(|(x, y, _)| is_finite(&(*x, *y))).map(|(x, y, n)| {
            let size = 2.0 + 8.0 * (*n as f64 / most).sqrt();
            Circle::new((*x, *y), size as i32, BLUE.mix(0.7).filled())
        }))?;
        Ok(())
    })
}

/// Shares of `values` in twenty bins of [0, 1].
///
/// # Errors
/// When the backend refuses.
pub fn histogram(labels: &Labels<'_>, values: impl Iterator<Item = f64>) -> Result<String, PlotError> {
    const BINS: usize = 20;
    let (mut counts, mut all) = ([0.0f64; BINS], 0.0f64);
    for value in values.filter(|v| (0.0..=1.0).contains(v)) {
        counts[((value * BINS as f64) as usize).min(BINS - 1)] += 1.0;
        all += 1.0;
    }
    let shares = counts.map(|c| c / all.max(1.0));
    let highest = shares.iter().copied().fold(0.01, f64::max);
    drawn(labels, ((0.0, 1.0), (0.0, 1.05 * highest)), |chart| {
        chart.draw_series(shares.iter().enumerate().map(|(i, share)| {
            let x = |edge: usize| edge as f64 / BINS as f64;
            Rectangle::new([(x(i) + 0.003, 0.0), (x(i + 1) - 0.003, *share)], BLUE.mix(0.8).filled())
        }))?;
        Ok(())
    })
}

fn is_finite(point: &(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// From the least to the most with some room; something even when there is nothing.
fn spans(points: impl Iterator<Item = (f64, f64)> + Clone) -> ((f64, f64), (f64, f64)) {
    let span = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return (0.0, 1.0);
        }
        let room = if high > low { 0.08 * (high - low) } else { 0.1 * high.abs().max(0.1) };
        (low - room, high + room)
    };
    (span(&mut points.clone().map(|p| p.0)), span(&mut points.map(|p| p.1)))
}

fn drawn(
    labels: &Labels<'_>,
    (x, y): ((f64, f64), (f64, f64)),
    fill: impl FnOnce(&mut Chart<'_, '_>) -> Result<(), DrawingAreaErrorKind<std::io::Error>>,
) -> Result<String, PlotError> {
    let mut text = String::new();
    {
        let area: DrawingArea<SVGBackend<'_>, _> =
            SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let title = TextStyle::from(("sans-serif", 17).into_font()).color(&INK);
        area.draw_text(labels.title, &title, (16, 10))?;
        let mut chart = ChartBuilder::on(&area)
            .margin_top(40)
            .margin_right(110)
            .margin_left(8)
            .margin_bottom(8)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(226, 230, 234))
            .label_style(TextStyle::from(("sans-serif", 12).into_font()).color(&GREY))
            .x_desc(labels.x)
            .y_desc(labels.y)
            .x_label_formatter(&|v| super::report::number(*v))
            .y_label_formatter(&|v| super::report::number(*v))
            .draw()?;
        fill(&mut chart)?;
        area.present()?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: Labels<'static> = Labels { title: "A title", x: "across", y: "up" };

    #[test]
    fn every_picture_is_whole_with_numbers_and_without() {
        let named = [("one".to_owned(), (0.002, 0.9)), ("nowhere".to_owned(), (f64::NAN, 0.9))];
        let pictures = [
            curve(&LABELS, &[(0.001, 0.8), (0.003, 0.9), (f64::NAN, 1.0)], &named).unwrap(),
            curve(&LABELS, &[], &[]).unwrap(),
            calibration(&LABELS, &[(0.5, 0.6, 10), (0.9, 0.8, 1000), (0.1, f64::NAN, 0)]).unwrap(),
            histogram(&LABELS, [0.0, 0.5, 1.0, f64::NAN].into_iter()).unwrap(),
            histogram(&LABELS, std::iter::empty()).unwrap(),
        ];
        for picture in pictures {
            assert!(picture.trim_end().ends_with("</svg>") && picture.contains("A title"));
            assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
        }
    }
}
