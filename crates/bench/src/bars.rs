//! A chart of bars as SVG, one below the other.

use plotters::prelude::*;

/// Why a chart could not be drawn.
pub type DrawError = Box<dyn std::error::Error>;

const FONT: &str = "sans-serif";
const WIDTH: u32 = 900;
const BAR_HEIGHT: u32 = 34;
const OURS: RGBColor = RGBColor(37, 99, 235);
const OTHERS: RGBColor = RGBColor(170, 175, 182);

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it is.
    pub name: String,
    /// Its length.
    pub value: f64,
    /// What stands at its end.
    pub label: String,
    /// It is this project's.
    pub ours: bool,
}

/// The chart.
///
/// # Errors
/// What the chart library could not draw.
pub fn chart(title: &str, bars: &[Bar]) -> Result<String, DrawError> {
    let right = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max) * 1.25;
    let count = u32::try_from(bars.len())?.max(1);
    let size = (WIDTH, 40 + BAR_HEIGHT * count);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        let area = area.titled(title, (FONT, 16))?;
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .y_label_area_size(250)
            .build_cartesian_2d(0.0..right, 0.0..f64::from(count))?;
        for (bar, place) in bars.iter().zip((0..count).rev()) {
            let (low, high) = (f64::from(place) + 0.2, f64::from(place) + 0.8);
            let color = if bar.ours { OURS } else { OTHERS };
            chart.draw_series([Rectangle::new([(0.0, low), (bar.value, high)], color.filled())])?;
            let (left, y) = chart.backend_coord(&(0.0, f64::midpoint(low, high)));
            let (end, _) = chart.backend_coord(&(bar.value, low));
            let root = chart.plotting_area().strip_coord_spec();
            let (top, _) = (root.get_pixel_range().1.start, left);
            area.draw(&Text::new(bar.name.clone(), (10, y - top + 8), (FONT, 14)))?;
            area.draw(&Text::new(bar.label.clone(), (end + 6, y - top + 8), (FONT, 14)))?;
        }
        area.present()?;
    }
    // The width is the page's; the picture keeps its proportions.
    Ok(svg.replacen(&format!("width=\"{}\" height=\"{}\"", size.0, size.1), "role=\"img\"", 1))
}
