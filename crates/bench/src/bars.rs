//! A chart of bars as SVG, one below the other, for `docs/`.
//!
//! Rule: a bar begins at nothing and is as long as its value, so that lengths can be compared by eye.

use plotters::prelude::*;

const FONT: &str = "sans-serif";
const WIDTH: u32 = 860;
const TITLE_HEIGHT: i32 = 40;
const ROW_HEIGHT: i32 = 28;
/// Where the bars begin, right of their names.
const BEGIN: i32 = 280;
/// How long the longest is; its label has the rest.
const LONGEST: i32 = 400;
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
    pub is_ours: bool,
}

/// The chart.
///
/// # Panics
/// Never: a text can always be written to, and there are only some bars.
#[must_use]
pub fn chart(title: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let rows = i32::try_from(bars.len()).expect("some bars");
    let height = TITLE_HEIGHT + ROW_HEIGHT * rows + 10;
    let mut svg = String::new();
    draw(&mut svg, height, |area| {
        area.draw(&Text::new(title, (10, 12), (FONT, 17).into_font()))?;
        for (bar, row) in bars.iter().zip(0..) {
            let top = TITLE_HEIGHT + ROW_HEIGHT * row;
            let end = BEGIN + length(bar.value / most);
            let color = if bar.is_ours { OURS } else { OTHERS };
            area.draw(&Rectangle::new([(BEGIN, top), (end, top + ROW_HEIGHT - 8)], color.filled()))?;
            area.draw(&Text::new(bar.name.as_str(), (10, top + 4), (FONT, 14).into_font()))?;
            area.draw(&Text::new(bar.label.as_str(), (end + 8, top + 4), (FONT, 14).into_font()))?;
        }
        area.present()
    })
    .expect("a text can be written to");
    svg
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// Draws on white; the backend ends the text when it is dropped.
fn draw<'a>(svg: &'a mut String, height: i32, act: impl FnOnce(&Area<'a>) -> Drawn<'a>) -> Drawn<'a> {
    let area = SVGBackend::with_string(svg, (WIDTH, height.unsigned_abs())).into_drawing_area();
    area.fill(&WHITE)?;
    act(&area)
}

#[expect(clippy::cast_possible_truncation, reason = "a part of the longest bar has few pixels")]
fn length(part: f64) -> i32 {
    (part * f64::from(LONGEST)).round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_values() {
        let bar = |value: f64| Bar { name: "a".to_owned(), value, label: "b".to_owned(), is_ours: false };
        let svg = chart("title", &[bar(50.0), bar(200.0), bar(0.0)]);
        let widths: Vec<&str> =
            svg.lines().filter_map(|line| line.split("width=\"").nth(1)?.split('"').next()).collect();
        assert_eq!(widths, ["860", "860", "100", "400", "0"], "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
    }
}
