//! Samples of one quantity, and what is said of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::process::Cost;

/// Everything that was measured of one tool: samples by the name of the quantity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(pub(crate) BTreeMap<&'static str, Vec<f64>>);

/// Median, lowest and highest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Samples {
    pub(crate) fn add(&mut self, name: &'static str, value: f64) {
        self.0.entry(name).or_default().push(value);
    }

    /// Adds the time of a cost, and keeps the highest memory and the sum of CPU time of this run.
    pub(crate) fn add_cost(&mut self, name: &'static str, cost: &Cost, run: &mut Totals) {
        self.add(name, cost.wall.as_secs_f64());
        run.rss_max = run.rss_max.max(cost.rss_max);
        run.cpu += cost.cpu.as_secs_f64();
    }

    /// Adds, run by run, what of `name` is here as a share of the other's.
    pub(crate) fn add_ratios(&mut self, name: &str, other: &Self, ratio: &'static str) {
        let (Some(ours), Some(theirs)) = (self.0.get(name), other.0.get(name)) else { return };
        let ratios: Vec<f64> =
            ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        self.0.entry(ratio).or_default().extend(ratios);
    }

    pub(crate) fn summary(&self, name: &str) -> Option<Summary> {
        let mut samples = self.0.get(name)?.clone();
        samples.sort_by(f64::total_cmp);
        let (min, max) = (*samples.first()?, *samples.last()?);
        let middle = samples.len() / 2;
        let median = if samples.len() % 2 == 1 {
            samples[middle]
        } else {
            f64::midpoint(samples[middle - 1], samples[middle])
        };
        Some(Summary { median, min, max })
    }

    pub(crate) fn json(&self) -> Value {
        json!(self.0)
    }
}

/// What one run of a tool took in all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) rss_max: u64,
    pub(crate) cpu: f64,
}

impl Summary {
    /// As `1.23 (1.20–1.31)`, with a spread only where there is one.
    pub(crate) fn show(&self, scale: f64, digits: usize) -> String {
        let text = |value: f64| format!("{:.digits$}", value / scale);
        let (median, min, max) = (text(self.median), text(self.min), text(self.max));
        if min == max { median } else { format!("{median} ({min}–{max})") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        let mut samples = Samples::default();
        for value in [3.0, 1.0, 2.0] {
            samples.add("x", value);
        }
        assert_eq!(samples.summary("x").unwrap().show(1.0, 1), "2.0 (1.0–3.0)");
        samples.add("x", 2.5);
        assert_eq!(samples.summary("x").unwrap().show(1.0, 2), "2.25 (1.00–3.00)");
        samples.add("same", 7e6);
        assert_eq!(samples.summary("same").unwrap().show(1e6, 1), "7.0");
        assert!(samples.summary("none").is_none());
    }
}
