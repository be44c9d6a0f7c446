//! What a benchmark has measured, against what it is held to.

use std::process::ExitCode;

/// One figure and its limit.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// In the unit.
    pub value: f64,
    /// In the unit.
    pub limit: Limit,
    /// Empty for a ratio.
    pub unit: &'static str,
}

/// Where a figure has to stay.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

impl Figure {
    fn holds(&self) -> bool {
        match self.limit {
            Limit::AtMost(limit) => self.value <= limit,
            Limit::AtLeast(limit) => self.value >= limit,
        }
    }

    fn line(&self, width: usize) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        let measured = format!("{:.2}{unit}", self.value);
        let limit = match self.limit {
            Limit::AtMost(limit) => format!("<= {limit}{unit}"),
            Limit::AtLeast(limit) => format!(">= {limit}{unit}"),
        };
        let verdict = if self.holds() { "ok" } else { "FAIL" };
        format!("{:width$}  {measured:>12}  {limit:>14}  {verdict}", self.what)
    }
}

/// The one in the middle; with none of them not a number.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        even if even.is_multiple_of(2) => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// The closing table, a line for each figure, and whether all of them hold.
pub fn close(figures: &[Figure]) -> (String, ExitCode) {
    let width = figures.iter().map(|figure| figure.what.len()).max().unwrap_or(0);
    let head = format!("{:width$}  {:>12}  {:>14}  result", "figure", "measured", "limit");
    let lines: Vec<String> = figures.iter().map(|figure| figure.line(width)).collect();
    let code = if figures.iter().all(Figure::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    (format!("{head}\n{}", lines.join("\n")), code)
}
