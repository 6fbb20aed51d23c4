//! One chart: a curve, straight lines for the baselines, and the names at their right ends.

use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind};
use plotters::element::PathElement;
use plotters::prelude::DrawingBackend;
use plotters::series::LineSeries;
use plotters::style::{Color, IntoFont, RGBColor, TextStyle};

use super::{Floor, GREY, INK};

/// A baseline.
pub(super) struct Straight {
    pub(super) label: &'static str,
    pub(super) colour: RGBColor,
    pub(super) y: f64,
}

/// A chart to be drawn.
pub(super) struct Panel<'a> {
    pub(super) title: &'a str,
    /// Requests so far and the value over the window that ended there.
    pub(super) curve: Vec<(f64, f64)>,
    pub(super) label: &'a str,
    pub(super) colour: RGBColor,
    pub(super) straights: Vec<Straight>,
    pub(super) floor: Floor,
}

/// Pixels between two names at least.
const LINE: i32 = 15;

impl Panel<'_> {
    pub(super) fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let title = TextStyle::from(("sans-serif", 15).into_font()).color(&INK);
        area.draw_text(self.title, &title, (16, 6))?;
        let end = self.curve.last().map_or(1.0, |point| point.0);
        let (low, high) = self.span();
        let mut chart = ChartBuilder::on(area)
            .margin_top(30)
            .margin_right(132)
            .margin_left(8)
            .x_label_area_size(36)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..end, low..high)?;
        let text = TextStyle::from(("sans-serif", 12).into_font()).color(&GREY);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(RGBColor(255, 255, 255))
            .bold_line_style(RGBColor(226, 230, 234))
            .axis_style(RGBColor(173, 181, 189))
            .label_style(text)
            .x_desc("requests")
            .x_labels(8)
            .y_labels(6)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| if high > 5.0 { format!("{y:.0}") } else { format!("{y:.2}") })
            .draw()?;
        for line in &self.straights {
            let path = vec![(0.0, line.y), (end, line.y)];
            chart.draw_series([PathElement::new(path, line.colour.mix(0.75).stroke_width(1))])?;
        }
        chart.draw_series(LineSeries::new(self.curve.iter().copied(), self.colour.stroke_width(3)))?;
        let height = |y: f64| chart.backend_coord(&(end, y)).1 - area.get_base_pixel().1;
        let right = chart.backend_coord(&(end, low)).0 - area.get_base_pixel().0;
        for (label, colour, y) in self.names(height) {
            let style = TextStyle::from(("sans-serif", 13).into_font()).color(&colour);
            area.draw_text(&label, &style, (right + 8, y - 7))?;
        }
        Ok(())
    }

    fn span(&self) -> (f64, f64) {
        let values = || self.curve.iter().map(|p| p.1).chain(self.straights.iter().map(|s| s.y));
        let high = values().fold(0.0, f64::max);
        let low = values().fold(high, f64::min);
        let low = if self.floor == Floor::Zero { 0.0 } else { low - 0.1 * (high - low) };
        let high = high + 0.06 * (high - low);
        if high > low { (low, high) } else { (low, low + 1.0) }
    }

    /// Names with their final value, from the top down, pushed apart where they would overlap.
    fn names(&self, height: impl Fn(f64) -> i32) -> Vec<(String, RGBColor, i32)> {
        let digits = |y: f64| if y.abs() >= 5.0 { format!("{y:.1}") } else { format!("{y:.3}") };
        let curve =
            self.curve.last().map(|p| (format!("{} {}", self.label, digits(p.1)), self.colour, height(p.1)));
        let lines =
            self.straights.iter().map(|s| (format!("{} {}", s.label, digits(s.y)), s.colour, height(s.y)));
        let mut names: Vec<_> = curve.into_iter().chain(lines).collect();
        names.sort_by_key(|name| name.2);
        let lowest = height(self.span().0);
        for i in 1..names.len() {
            names[i].2 = names[i].2.max(names[i - 1].2 + LINE);
        }
        // Whatever was pushed below the axis goes back up, and takes its neighbours with it.
        let mut room = lowest;
        for name in names.iter_mut().rev() {
            name.2 = name.2.min(room);
            room = name.2 - LINE;
        }
        names
    }
}
