//! What we set out to reach, beside what was measured.

use crate::sample::{Samples, Summary};

/// A bound on the median of a quantity.
pub(crate) struct Target {
    pub(crate) quantity: &'static str,
    pub(crate) what: &'static str,
    pub(crate) at_most: f64,
    /// What the unit of the samples is divided by.
    pub(crate) scale: f64,
    pub(crate) unit: &'static str,
}

pub(crate) const SET_A: [Target; 7] = [
    target("stored", "stored", 32.0, 1e6, "MB"),
    target(FIRST_TO_CASYNC, "first push", 1.0, 1.0, "of casync's"),
    target("rss", "peak memory", 150.0, 1e6, "MB"),
    target("unchanged", "unchanged push", 0.2, 1.0, "s"),
    target(RESTORE_TO_CASYNC, "restore", 0.65, 1.0, "of casync's"),
    target(COLD_TO_CASYNC, "restore, cold", 0.65, 1.0, "of casync's"),
    target("last_delta", "stored by 14.2.20 → 14.2.25", 5.0, 1e6, "MB"),
];

pub(crate) const SET_B: [Target; 4] = [
    target("stored", "stored", 28.5, 1e6, "MB"),
    target(FIRST_TO_CASYNC, "first push", 1.0, 1.0, "of casync's"),
    target(RESTORE_TO_CASYNC, "restore", 0.65, 1.0, "of casync's"),
    target(COLD_TO_CASYNC, "restore, cold", 0.65, 1.0, "of casync's"),
];

pub(crate) const CONSOLE: [Target; 2] = [
    target("first_load_bytes", "first load, packed", 300.0, 1e3, "kB"),
    target("first_paint_ms", "first paint on a slow line", 1000.0, 1.0, "ms"),
];

/// Quantities of ours as shares of what the peer took in the same run.
pub(crate) const TO_CASYNC: [(&str, &str); 3] =
    [("first", FIRST_TO_CASYNC), ("restore", RESTORE_TO_CASYNC), ("restore_cold", COLD_TO_CASYNC)];
const FIRST_TO_CASYNC: &str = "first push to casync's";
const RESTORE_TO_CASYNC: &str = "restore to casync's";
const COLD_TO_CASYNC: &str = "cold restore to casync's";

const fn target(
    quantity: &'static str,
    what: &'static str,
    at_most: f64,
    scale: f64,
    unit: &'static str,
) -> Target {
    Target { quantity, what, at_most, scale, unit }
}

/// One line a target, with an honest remark where it is missed.
pub(crate) fn judge(targets: &[Target], samples: &Samples) -> String {
    let mut text = String::from("Targets:\n\n");
    for target in targets {
        let Some(summary) = samples.summary(target.quantity) else { continue };
        text.push_str(&line(target, &summary));
    }
    text
}

fn line(target: &Target, summary: &Summary) -> String {
    let Target { what, at_most, scale, unit, .. } = target;
    let digits = if *at_most < 10.0 { 2 } else { 1 };
    let found = summary.median / scale;
    let remark = if found <= *at_most {
        "met".to_owned()
    } else if summary.min / scale <= *at_most {
        format!("missed by {:.0} % in the median, met in the best run", excess(found, *at_most))
    } else {
        format!("missed by {:.0} %", excess(found, *at_most))
    };
    format!("- {what}: {found:.digits$} {unit}, target {at_most} {unit}: {remark}\n")
}

fn excess(found: f64, at_most: f64) -> f64 {
    (found / at_most - 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_said_to_be_missed() {
        let mut samples = Samples::default();
        samples.add("stored", 40e6);
        samples.add("unchanged", 0.1);
        let text = judge(&SET_A, &samples);
        assert!(text.contains("- stored: 40.0 MB, target 32 MB: missed by 25 %\n"), "{text}");
        assert!(text.contains("- unchanged push: 0.10 s, target 0.2 s: met\n"), "{text}");
        samples.add("stored", 31e6);
        assert!(judge(&SET_A, &samples).contains("met in the best run"), "{text}");
    }
}
