//! A latency distribution in a few numbers, and the table in which people read them.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The percentiles that are shown everywhere, in nanoseconds: zero where nothing was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p99_9: u64,
    /// 99.99th percentile.
    pub p99_99: u64,
    /// The largest value.
    pub max: u64,
    /// How many values.
    pub count: u64,
}

impl Latency {
    /// The percentiles of `histogram`; a value stands for its bucket's upper end, as everywhere with HdrHistogram.
    pub fn of(histogram: &Histogram<u64>) -> Latency {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Latency {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: histogram.max(),
            count: histogram.len(),
        }
    }

    /// Name and value of each percentile, ending with the maximum.
    pub fn percentiles(&self) -> [(&'static str, u64); 6] {
        [
            ("p50", self.p50),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p99.9", self.p99_9),
            ("p99.99", self.p99_99),
            ("max", self.max),
        ]
    }
}

/// `ns` in the unit in which it has one to three digits before the point, and three in all: `850 ns`, `12.3 µs`.
pub fn human_ns(ns: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000, "µs"), (1_000_000, "ms"), (1_000_000_000, "s")];
    // A value that would be rounded up to 1000 of a unit is shown as 1.00 of the next.
    let unit = UNITS.iter().rev().find(|(size, _)| ns >= size - size / 2_000);
    let Some(&(size, unit)) = unit else { return format!("{ns} ns") };
    let rounded_to =
        |parts: u64| (u128::from(ns) * u128::from(parts) + u128::from(size / 2)) / u128::from(size);
    match (rounded_to(100), rounded_to(10)) {
        (hundredths @ 0..1_000, _) => {
            format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100)
        }
        (_, tenths @ 0..1_000) => format!("{}.{} {unit}", tenths / 10, tenths % 10),
        (_, _) => format!("{} {unit}", rounded_to(1)),
    }
}

/// A table with a row for each histogram, ready to print: name, p50 p90 p99 p99.9 p99.99 max, count.
pub fn latency_table<'a>(rows: impl IntoIterator<Item = (&'a str, Latency)>) -> String {
    let mut header = vec!["hop"];
    header.extend(Latency::default().percentiles().map(|(name, _)| name));
    header.push("count");
    let mut table = plain_table(&header);
    for (name, latency) in rows {
        let mut cells = vec![name.to_owned()];
        cells.extend(latency.percentiles().map(|(_, ns)| match latency.count {
            0 => "-".to_owned(),
            _ => human_ns(ns),
        }));
        cells.push(latency.count.to_string());
        table.add_row(cells);
    }
    table.trim_fmt()
}

/// An empty table without lines, its first column left-aligned and the others right-aligned.
pub(crate) fn plain_table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        if column.index == 0 {
            column.set_padding((0, 1));
        } else {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::empty_histogram;

    #[test]
    fn three_digits_and_a_unit() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (1_234, "1.23 µs"),
            (9_994, "9.99 µs"),
            (9_999, "10.0 µs"),
            (99_949, "99.9 µs"),
            (99_950, "100 µs"),
            (99_999, "100 µs"),
            (999_499, "999 µs"),
            (999_999, "1.00 ms"),
            (12_345_678, "12.3 ms"),
            (60_000_000_000, "60.0 s"),
        ];
        for (ns, text) in cases {
            assert_eq!(human_ns(ns), text, "{ns}");
        }
        human_ns(u64::MAX);
    }

    #[test]
    fn the_table_has_a_row_for_each_hop() {
        let mut histogram = empty_histogram();
        (1..=1_000).for_each(|ns| histogram.record(ns).expect("in range"));
        let latency = Latency::of(&histogram);
        assert_eq!(
            (latency.p50, latency.p99, latency.max, latency.count),
            (500, 990, 1_000, 1_000)
        );
        let table = latency_table([("hop_risk", latency), ("hop_feed", Latency::default())]);
        let rows: Vec<Vec<&str>> =
            table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows.len(), 3, "{table}");
        assert_eq!(rows[1][..3], ["hop_risk", "500", "ns"], "{table}");
        assert_eq!(rows[2], ["hop_feed", "-", "-", "-", "-", "-", "-", "0"], "{table}");
    }

    #[test]
    fn the_json_keys_are_those_of_the_command_line() {
        let json = serde_json::to_value(Latency::default()).expect("plain numbers");
        let keys: Vec<&String> = json.as_object().expect("an object").keys().collect();
        assert_eq!(keys.len(), 7);
        for key in ["p50", "p90", "p99", "p99_9", "p99_99", "max", "count"] {
            assert_eq!(json[key], 0, "{key}");
        }
    }
}
