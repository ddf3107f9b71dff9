//! The charts of a report, as SVG: the pool over time, the waits, the cost by market.

use plotters::coord::Shift;
use plotters::prelude::*;
use pool_core::shard::Market;

use super::report::{Comparison, Report, Sample, number};

/// Why a chart could not be drawn.
pub type DrawError = Box<dyn std::error::Error>;

/// Points of a line; more cannot be told apart on a screen.
const POINTS: usize = 480;
const SECONDS_PER_HOUR: f64 = 3_600.0;
/// Room above what is drawn.
const HEADROOM: f64 = 1.08;
const FONT: &str = "sans-serif";

/// What the pool's colours mean, in the order of the legend.
pub const LEGEND: [(&str, RGBColor); 6] = [
    ("leased", LEASED),
    ("free", FREE),
    ("stopped", STOPPED),
    ("booting or leaving", BOOTING),
    ("waiting callers", WAITING),
    ("demand", DEMAND),
];
const LEASED: RGBColor = RGBColor(37, 99, 235);
const FREE: RGBColor = RGBColor(134, 199, 143);
const BOOTING: RGBColor = RGBColor(245, 190, 90);
const STOPPED: RGBColor = RGBColor(200, 205, 212);
const WAITING: RGBColor = RGBColor(200, 30, 45);
const DEMAND: RGBColor = RGBColor(30, 30, 30);
const ON_DEMAND: RGBColor = RGBColor(88, 80, 141);
const SPOT: RGBColor = RGBColor(70, 160, 170);
/// The colours of policies, in their order, from the start again when there are more.
const POLICIES: [RGBColor; 6] = [
    RGBColor(37, 99, 235),
    RGBColor(217, 95, 2),
    RGBColor(27, 158, 119),
    RGBColor(117, 112, 179),
    RGBColor(231, 41, 138),
    RGBColor(102, 102, 102),
];

/// The colour of the policy at a place.
#[must_use]
pub fn policy_color(place: usize) -> RGBColor {
    POLICIES[place % POLICIES.len()]
}

/// A colour, and how high it reaches.
type Layer = (RGBColor, fn(&Sample) -> u64);
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn drawn(size: (u32, u32), draw: impl Fn(&Area<'_>) -> Result<(), DrawError>) -> Result<String, DrawError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area)?;
        area.present()?;
    }
    // The width is the page's; the picture keeps its proportions.
    let fixed = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
    Ok(svg.replacen(&fixed, "role=\"img\"", 1))
}

/// Instances and waiting callers over time under one policy. All policies of a comparison have the same scale.
///
/// # Errors
/// What the chart library could not draw.
pub fn over_time(comparison: &Comparison, report: &Report) -> Result<String, DrawError> {
    let peak = |report: &Report| report.samples.iter().map(|it| it.instances.max(it.waiting)).max().unwrap_or(0);
    let highest = comparison.reports.iter().map(peak).max().unwrap_or(0).max(1);
    let top = number(highest) * HEADROOM;
    let samples = thinned(&report.samples);
    let hour = |sample: &Sample| number(sample.at_seconds) / SECONDS_PER_HOUR;
    let demand_at = |sample: &Sample| {
        let minute = usize::try_from(sample.at_seconds / 60).unwrap_or(0);
        number(comparison.trace.demand.get(minute).copied().unwrap_or(0)).min(top)
    };
    drawn((900, 260), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(20)
            .x_label_area_size(34)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..comparison.trace.hours, 0.0..top)?;
        chart
            .configure_mesh()
            .x_desc("hours")
            .x_label_formatter(&short)
            .y_label_formatter(&short)
            .label_style((FONT, 13))
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 228, 232))
            .axis_style(RGBColor(150, 155, 160))
            .draw()?;
        // The layers are drawn from the highest to the lowest, each over the one before.
        let layers: [Layer; 4] = [
            (BOOTING, |s| s.instances),
            (STOPPED, |s| s.leased + s.free + s.stopped),
            (FREE, |s| s.leased + s.free),
            (LEASED, |s| s.leased),
        ];
        for (color, height) in layers {
            let points = samples.iter().map(|sample| (hour(sample), number(height(sample))));
            chart.draw_series(AreaSeries::new(points, 0.0, color.filled()))?;
        }
        let demand = samples.iter().map(|sample| (hour(sample), demand_at(sample)));
        chart.draw_series(LineSeries::new(demand, DEMAND.stroke_width(1)))?;
        if samples.iter().any(|sample| sample.waiting > 0) {
            let waiting = samples.iter().map(|sample| (hour(sample), number(sample.waiting)));
            chart.draw_series(LineSeries::new(waiting, WAITING.stroke_width(2)))?;
        }
        Ok(())
    })
}

/// A number on an axis, without a fraction where there is none.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the chart library hands a reference")]
fn short(value: &f64) -> String {
    if value.fract().abs() < 1e-6 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// At most so many samples, of each group the one in which most waited.
fn thinned(samples: &[Sample]) -> Vec<Sample> {
    let group = samples.len().div_ceil(POINTS).max(1);
    samples
        .chunks(group)
        .filter_map(|group| group.iter().max_by_key(|it| (it.waiting, it.instances)).copied())
        .collect()
}

/// Which share of the callers waited longer than how long, of all policies.
///
/// # Errors
/// What the chart library could not draw.
pub fn waits(comparison: &Comparison) -> Result<String, DrawError> {
    let points = || comparison.reports.iter().flat_map(|report| &report.waited_longer);
    let right = number(points().map(|point| point.seconds).max().unwrap_or(1).max(1));
    let top = points().map(|point| point.percent).fold(1.0, f64::max) * HEADROOM;
    drawn((900, 260), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(20)
            .x_label_area_size(34)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..right, 0.0..top)?;
        chart
            .configure_mesh()
            .x_desc("seconds")
            .x_label_formatter(&short)
            .y_label_formatter(&|percent| format!("{percent:.0} %"))
            .label_style((FONT, 13))
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 228, 232))
            .axis_style(RGBColor(150, 155, 160))
            .draw()?;
        for (place, report) in comparison.reports.iter().enumerate() {
            let line = report.waited_longer.iter().map(|point| (number(point.seconds), point.percent));
            chart.draw_series(LineSeries::new(line, policy_color(place).stroke_width(2)))?;
        }
        Ok(())
    })
}

/// What the instances cost, by market, a bar a policy.
///
/// # Errors
/// What the chart library could not draw.
pub fn cost(comparison: &Comparison) -> Result<String, DrawError> {
    let reports = &comparison.reports;
    let right = reports.iter().map(|report| report.cost.usd).fold(0.01, f64::max) * 1.2;
    let bars = u32::try_from(reports.len()).unwrap_or(1).max(1);
    drawn((900, 40 + 34 * bars), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(24)
            .y_label_area_size(130)
            .build_cartesian_2d(0.0..right, 0.0..f64::from(bars))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_label_formatter(&|usd| format!("${usd:.2}"))
            .label_style((FONT, 13))
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 228, 232))
            .axis_style(RGBColor(150, 155, 160))
            .draw()?;
        for (report, place) in reports.iter().zip((0..bars).rev()) {
            let (low, high) = (f64::from(place) + 0.2, f64::from(place) + 0.8);
            let (spot, both) = (report.usd_of(Market::Spot), report.cost.usd);
            chart.draw_series([
                Rectangle::new([(0.0, low), (spot, high)], SPOT.filled()),
                Rectangle::new([(spot, low), (both, high)], ON_DEMAND.filled()),
            ])?;
            let (_, y) = chart.backend_coord(&(0.0, f64::midpoint(low, high)));
            let (end, _) = chart.backend_coord(&(both, low));
            area.draw(&Text::new(report.policy.clone(), (8, y - 6), (FONT, 14)))?;
            area.draw(&Text::new(format!("${both:.2}"), (end + 6, y - 6), (FONT, 14)))?;
        }
        Ok(())
    })
}

/// What the colours of the cost mean.
pub const COST_LEGEND: [(&str, RGBColor); 2] = [("Spot", SPOT), ("on-demand", ON_DEMAND)];
