//! What is printed and written: one line per figure, and the same figures with all samples as JSON.

use std::fmt::Write as _;

/// The row that all others are compared to.
pub(crate) const FLOOR: &str = "engine/seal-floor";
/// The unit of rows that are compared to it.
pub(crate) const PER_PACKET: &str = "ns/packet";

/// One measured figure.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) samples: Vec<f64>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str) -> Self {
        Self { name: name.into(), unit, samples: Vec::new() }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn min(&self) -> f64 {
        self.sorted().first().copied().unwrap_or(f64::NAN)
    }

    fn max(&self) -> f64 {
        self.sorted().last().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        median(self.sorted())
    }

    /// How many times another row this one is: the median of the comparisons of samples taken one after the other.
    fn times(&self, other: &Self) -> f64 {
        let pairs = self.samples.iter().zip(&other.samples);
        median(pairs.map(|(own, other)| own / other).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// `name value unit`, one figure per line; with more than one sample also the extremes.
pub(crate) fn lines(rows: &[Row]) -> String {
    let floor = rows.iter().find(|row| row.name == FLOOR);
    let mut text = String::new();
    for row in rows {
        let Row { name, unit, .. } = row;
        let mut line = |ending: &str, value: f64, unit: &str| {
            writeln!(text, "{name}{ending} {} {unit}", shown(value, unit)).expect("a string takes all");
        };
        line("", row.median(), unit);
        if row.samples.len() > 1 {
            line("/min", row.min(), unit);
            line("/max", row.max(), unit);
        }
        if let (Some(floor), PER_PACKET) = (floor, *unit) {
            line("/times-floor", row.times(floor), "ratio");
        }
    }
    text
}

/// The same as JSON, with every sample.
pub(crate) fn json(rows: &[Row], machine: &str) -> String {
    let rows: Vec<String> = rows
        .iter()
        .map(|row| {
            let shown = |value| shown(value, row.unit);
            let samples: Vec<String> = row.samples.iter().map(|sample| shown(*sample)).collect();
            format!(
                r#"    {{"name": "{}", "unit": "{}", "min": {}, "median": {}, "max": {}, "samples": [{}]}}"#,
                row.name,
                row.unit,
                shown(row.min()),
                shown(row.median()),
                shown(row.max()),
                samples.join(", ")
            )
        })
        .collect();
    let machine: String = machine.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect();
    format!("{{\n  \"machine\": \"{machine}\",\n  \"rows\": [\n{}\n  ]\n}}\n", rows.join(",\n"))
}

/// Whole numbers where fractions say nothing; nanoseconds with a tenth, as a limit may be missed by less than one.
fn shown(value: f64, unit: &str) -> String {
    if value.is_nan() {
        "null".to_owned()
    } else if unit == PER_PACKET {
        format!("{value:.1}")
    } else if value.abs() >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else if value.abs() < 0.1 {
        format!("{value:.6}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> [Row; 2] {
        let floor = Row { samples: vec![200.0, 180.0, 220.0], ..Row::new(FLOOR, "ns/packet") };
        let other = Row { samples: vec![500.0, 360.0, 440.0], ..Row::new("engine/x", "ns/packet") };
        [floor, other]
    }

    #[test]
    fn a_line_is_a_name_a_value_and_a_unit() {
        let text = lines(&rows());
        assert!(text.lines().all(|line| line.split(' ').count() == 3), "{text}");
        assert!(text.starts_with("engine/seal-floor 200.0 ns/packet\nengine/seal-floor/min 180.0 ns/packet\n"));
        assert!(text.ends_with("engine/x/max 500.0 ns/packet\nengine/x/times-floor 2 ratio\n"), "{text}");
    }

    #[test]
    fn a_limit_of_whole_nanoseconds_can_be_judged() {
        let row = Row { samples: vec![300.4], ..Row::new("engine/audio-1x100", PER_PACKET) };
        assert_eq!(lines(&[row]), "engine/audio-1x100 300.4 ns/packet\n");
    }

    #[test]
    fn the_json_holds_every_sample() {
        let text = json(&rows(), "a \"machine\"\n");
        assert!(
            text.contains(r#""min": 180.0, "median": 200.0, "max": 220.0, "samples": [200.0, 180.0, 220.0]"#),
            "{text}"
        );
        assert!(text.contains(r#""machine": "a machine""#));
    }
}
