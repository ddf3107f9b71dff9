//! A comparison as one HTML file that needs nothing else: no script, no font, no picture from elsewhere.

use std::fmt::Write;

use plotters::style::RGBColor;

use super::chart::{self, DrawError};
use super::report::Comparison;
use super::table;

const STYLE: &str = "\
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;color:#1b1f24;background:#f6f7f9;margin:0}
main{max-width:1000px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:17px;margin:0 0 8px}
.lead{color:#57606a;margin:0 0 20px}
section{background:#fff;border:1px solid #e1e4e8;border-radius:8px;padding:16px 18px;margin:0 0 16px}
svg{display:block;width:100%;height:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:4px 8px;border-bottom:1px solid #eceef1}
th:first-child,td:first-child{text-align:left;color:#57606a;font-weight:normal;white-space:pre}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;color:#57606a;font-size:13px;margin:0 0 6px}
.legend i{display:inline-block;width:12px;height:12px;border-radius:2px;margin-right:6px;vertical-align:-1px}
.scroll{overflow-x:auto}";

/// The whole page.
///
/// # Errors
/// What the chart library could not draw.
pub fn page(comparison: &Comparison) -> Result<String, DrawError> {
    let headline = escaped(&table::headline(comparison));
    let mut page = String::new();
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>What if: {headline}</title><style>\n{STYLE}\n</style></head>\n<body><main>\n\
         <h1>What if</h1><p class=\"lead\">{headline}</p>\n"
    )?;
    section(&mut page, "In numbers", "", &format!("<div class=\"scroll\">{}</div>", numbers(comparison)))?;
    let policies = comparison.reports.iter().enumerate();
    let policies: Vec<_> = policies.map(|(at, report)| (report.policy.as_str(), chart::policy_color(at))).collect();
    section(&mut page, "Share of callers who waited longer than …", &legend(&policies)?, &chart::waits(comparison)?)?;
    for report in &comparison.reports {
        let title = format!("{}: instances over time", report.policy);
        section(&mut page, &title, &legend(&chart::LEGEND)?, &chart::over_time(comparison, report)?)?;
    }
    section(&mut page, "Cost by market", &legend(&chart::COST_LEGEND)?, &chart::cost(comparison)?)?;
    page.push_str(
        "<p class=\"lead\">Waits are over all callers; one who got nothing counts with all the time it was ready to \
         wait. Demand is what a pool without limits would have leased.</p>\n</main></body></html>\n",
    );
    Ok(page)
}

fn section(page: &mut String, title: &str, legend: &str, body: &str) -> std::fmt::Result {
    writeln!(page, "<section><h2>{}</h2>{legend}{body}</section>", escaped(title))
}

fn legend(entries: &[(&str, RGBColor)]) -> Result<String, std::fmt::Error> {
    let mut legend = String::from("<div class=\"legend\">");
    for (name, RGBColor(red, green, blue)) in entries {
        write!(legend, "<span><i style=\"background:rgb({red},{green},{blue})\"></i>{}</span>", escaped(name))?;
    }
    legend.push_str("</div>");
    Ok(legend)
}

fn numbers(comparison: &Comparison) -> String {
    let cells = |tag: &str, row: &[String]| {
        let cells = row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let names = comparison.reports.iter().map(|report| report.policy.clone());
    let head: Vec<String> = std::iter::once(String::new()).chain(names).collect();
    let rows: String = table::rows(comparison).iter().map(|row| cells("td", row)).collect();
    format!("<table>{}{rows}</table>", cells("th", &head))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
