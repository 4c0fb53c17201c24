//! A snapshot in the text exposition format of Prometheus, version 0.0.4.

use std::fmt::Write;

use hdrhistogram::Histogram;

use crate::telemetry::{CounterKind, CounterRow, HistogramValue, Latency, Snapshot};

/// What `Content-Type` says about [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const QUANTILES: [&str; 5] = ["0.5", "0.9", "0.99", "0.999", "0.9999"];

/// Writes `snapshot` out: each counter as `postern_<name>`, each agent's number with the label `agent`, each hop's
/// latency as a summary with the label `hop`, each duty cycle's with `agent`, each link with `link`.
pub fn render(snapshot: &Snapshot) -> String {
    let mut out = String::with_capacity(16 * 1_024);
    head(&mut out, "build_info", "gauge", "The version that runs.");
    sample(&mut out, "build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    for counter in &snapshot.counters {
        counter_head(&mut out, counter.row);
        sample(&mut out, counter.row.name, &[], counter.value);
    }
    for (index, row) in crate::telemetry::AGENT_COUNTERS.iter().enumerate() {
        counter_head(&mut out, row);
        for agent in &snapshot.agents {
            let value = agent.counters.get(index).map_or(0, |counter| counter.value);
            sample(&mut out, row.name, &[("agent", agent.name)], value);
        }
    }
    head(&mut out, "link_up", "gauge", "1 while a venue, channel or session is usable.");
    for link in &snapshot.links {
        sample(&mut out, "link_up", &[("link", &link.name)], u64::from(link.up));
    }
    let duty_cycle = |value: &HistogramValue| value.row.name.strip_prefix("duty_cycle_");
    let hops = snapshot.histograms.iter().filter(|value| duty_cycle(value).is_none());
    let hops: Vec<_> = hops.map(|value| (value.row.name, value)).collect();
    let help = "Latency since start, by hop.";
    summaries(&mut out, &Family { name: "latency_ns", help, label: "hop" }, &hops);
    let cycles = snapshot.histograms.iter();
    let cycles: Vec<_> = cycles.filter_map(|value| Some((duty_cycle(value)?, value))).collect();
    let help = "Length of the duty cycles that found work, since start, by agent.";
    summaries(&mut out, &Family { name: "duty_cycle_ns", help, label: "agent" }, &cycles);
    out
}

/// A metric that many histograms share, told apart by a label.
struct Family {
    name: &'static str,
    help: &'static str,
    label: &'static str,
}

fn summaries(out: &mut String, family: &Family, values: &[(&str, &HistogramValue)]) {
    let &Family { name, help, label } = family;
    head(out, name, "summary", help);
    for (value_of, value) in values {
        let latency = Latency::of(&value.histogram);
        for (quantile, (_, ns)) in QUANTILES.into_iter().zip(latency.percentiles()) {
            sample(out, name, &[(label, value_of), ("quantile", quantile)], ns);
        }
        sample(out, &format!("{name}_sum"), &[(label, value_of)], sum_ns(&value.histogram));
        sample(out, &format!("{name}_count"), &[(label, value_of)], latency.count);
    }
    let max_name = format!("{name}_max");
    head(out, &max_name, "gauge", "The largest of them.");
    for (value_of, value) in values {
        sample(out, &max_name, &[(label, value_of)], value.histogram.max());
    }
    let overflow_name = format!("{name}_overflow_count");
    head(out, &overflow_name, "counter", "Those longer than what is told apart, 60 seconds.");
    for (value_of, value) in values {
        sample(out, &overflow_name, &[(label, value_of)], value.overflow_count);
    }
}

/// The sum of all values, each taken as the middle of its bucket: right to 0.05 %.
fn sum_ns(histogram: &Histogram<u64>) -> u64 {
    histogram.iter_recorded().fold(0, |sum: u64, step| {
        let middle = histogram.median_equivalent(step.value_iterated_to());
        sum.saturating_add(middle.saturating_mul(step.count_at_value()))
    })
}

fn counter_head(out: &mut String, row: &CounterRow) {
    let kind = match row.kind {
        CounterKind::Counter => "counter",
        CounterKind::Gauge => "gauge",
    };
    head(out, row.name, kind, row.help);
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    let _ = writeln!(out, "# HELP postern_{name} {help}\n# TYPE postern_{name} {kind}");
}

fn sample(out: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let _ = write!(out, "postern_{name}");
    for (index, (label, text)) in labels.iter().enumerate() {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let before = if index == 0 { '{' } else { ',' };
        let _ = write!(out, "{before}{label}=\"{text}\"");
    }
    let after = if labels.is_empty() { "" } else { "}" };
    let _ = writeln!(out, "{after} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{COUNTERS, Need, Registry};

    /// Splits a sample line by the grammar of the format; panics where it does not follow it.
    fn parse(line: &str) -> (&str, u64) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let name = series.split('{').next().expect("a name");
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        assert!(name.bytes().all(plain), "{line}");
        assert_eq!(series.contains('{'), series.ends_with('}'), "{line}");
        (series, value.parse().expect("a number"))
    }

    #[test]
    fn every_sample_follows_its_head() {
        let registry = Registry::new();
        registry.counter("feed_packet_count").add(7);
        registry.agent_metrics("risk").stall_count.add(3);
        registry.link("venue \"a\\b\"\n", Need::Required).set(true);
        let recorder = registry.recorder("gateway");
        (1..=100).for_each(|ns| recorder.record(ns * 10));
        registry.recorder("duty_cycle_risk").record(5);
        let text = render(&registry.snapshot());
        let mut typed = Vec::new();
        let mut samples = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().expect("a name");
                assert!(!typed.contains(&name), "{name} is there twice");
                typed.push(name);
            } else if !line.starts_with("# HELP ") {
                let (series, value) = parse(line);
                let family = typed.last().expect("a head comes first");
                assert!(series.starts_with(family), "{series} after {family}");
                samples.push((series.to_owned(), value));
            }
        }
        let value = |series: &str| {
            let found = samples.iter().find(|(name, _)| name == series);
            found.unwrap_or_else(|| panic!("{series} is missing in\n{text}")).1
        };
        assert_eq!(value("postern_feed_packet_count"), 7);
        assert_eq!(value("postern_agent_stall_count{agent=\"risk\"}"), 3);
        assert_eq!(value("postern_link_up{link=\"venue \\\"a\\\\b\\\"\\n\"}"), 1);
        assert_eq!(value("postern_latency_ns{hop=\"gateway\",quantile=\"0.5\"}"), 500);
        assert_eq!(value("postern_latency_ns{hop=\"gateway\",quantile=\"0.9999\"}"), 1_000);
        assert_eq!(value("postern_latency_ns_count{hop=\"gateway\"}"), 100);
        assert_eq!(value("postern_latency_ns_sum{hop=\"gateway\"}"), 50_500);
        assert_eq!(value("postern_latency_ns_max{hop=\"gateway\"}"), 1_000);
        assert_eq!(value("postern_duty_cycle_ns_count{agent=\"risk\"}"), 1);
        for row in COUNTERS {
            assert!(typed.contains(&format!("postern_{}", row.name).as_str()), "{}", row.name);
        }
    }
}
