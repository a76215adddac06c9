//! What was found, for people.

use anyhow::Result;

use super::{CONNECTIONS, REUSE};
use crate::cli::Functions;
use crate::report::{MB, table};
use crate::sample::Samples;
use crate::wrk;

/// Goals: what, the quantity, at least or at most, the bound, its unit.
const GOALS: [(&str, &str, bool, f64, &str); 10] = [
    ("requests, an instance each", "fresh ratio", true, 1.0, " of the peer's"),
    ("requests, instances reused", "reused ratio", true, 1.0, " of the peer's"),
    ("p50 of one client, an instance each", "fresh p50 ratio", false, 1.1, " of the peer's"),
    ("p50 of one client, instances reused", "reused p50 ratio", false, 1.1, " of the peer's"),
    ("first request after a start, Rust", "first", false, 2.0, " ms"),
    ("first request after a start, JavaScript", "first JavaScript", false, 5.0, " ms"),
    ("first request after a start, Python", "first Python", false, 10.0, " ms"),
    ("p99 beside an endless loop", "beside ratio", false, 2.0, " of p99 alone"),
    ("deploy to ready", "deploy", false, 0.5, " s"),
    ("memory of all functions and instances", "over base", false, 300.0, " MB over base"),
];

pub(super) fn body(
    ours: &Samples,
    theirs: &Samples,
    args: &Functions,
    peer: &str,
) -> Result<String> {
    let mut ours = Samples(ours.0.clone());
    ratios(&mut ours, "beside p99", "alone p99", "beside ratio");
    over_base(&mut ours);
    let say = |samples: &Samples, name: &str, scale: f64, digits: usize| {
        samples.summary(name).map_or("–".to_owned(), |summary| summary.show(scale, digits))
    };
    let mut rows = vec![["", "cairn", "wasmtime serve", "ratio"].map(str::to_owned).to_vec()];
    for (what, name, ratio, digits) in [
        ("requests/s, an instance each", "fresh", "fresh ratio", 0),
        ("the same, 99 % within ms", "fresh p99", "", 2),
        ("one client, an instance each, p50 ms", "fresh p50", "fresh p50 ratio", 3),
        ("requests/s, instances reused", "reused", "reused ratio", 0),
        ("the same, 99 % within ms", "reused p99", "", 2),
        ("one client, instances reused, p50 ms", "reused p50", "reused p50 ratio", 3),
    ] {
        let row = [
            say(&ours, name, 1.0, digits),
            say(theirs, name, 1.0, digits),
            say(&ours, ratio, 1.0, 2),
        ];
        rows.push([vec![what.to_owned()], row.to_vec()].concat());
    }
    let mut text = table(&rows);
    text.push_str(&format!(
        "\nBeside a function that computes without end, 99 % of {CONNECTIONS} clients' requests are answered within \
         {} ms, alone within {} ms. In a process of its own (`--isolation process`) the function answers {} requests a \
         second, one client's with a p50 of {} ms. First request after a start: {} ms in Rust, {} ms in JavaScript \
         (ComponentizeJS), {} ms in Python (componentize-py). Deploy to ready: {} s; {} a second when many are \
         deployed. Memory: {} MB, with {} functions {} MB, with {} instances that wait as well {} MB.\n\nGoals:\n\n",
        say(&ours, "beside p99", 1.0, 2),
        say(&ours, "alone p99", 1.0, 2),
        say(&ours, "apart", 1.0, 0),
        say(&ours, "apart p50", 1.0, 3),
        say(&ours, "first", 1.0, 2),
        say(&ours, "first JavaScript", 1.0, 2),
        say(&ours, "first Python", 1.0, 2),
        say(&ours, "deploy", 1.0, 2),
        say(&ours, "deploys", 1.0, 0),
        say(&ours, "base rss", MB, 0),
        args.functions,
        say(&ours, "functions rss", MB, 0),
        args.instances,
        say(&ours, "instances rss", MB, 0),
    ));
    for (what, name, least, bound, unit) in GOALS {
        text.push_str(&goal(&ours, what, name, (least, bound, unit)));
    }
    text.push_str(&format!(
        "\nMedians (lowest–highest). The guest is `guests/rust/hello` (`wasi:http` 0.2), the server is on one \
         processor, `wrk` on another, over {CONNECTIONS} connections and over one: each server is asked for a second, then \
         the other, {} times a run, of which the median counts. cairn finds a route, verifies \
         a token, asks whether it may, counts and audits; the peer does none of it. Both pool instances, interrupt \
         guests and have a time limit; reused instances answer {REUSE} requests. Before a first \
         request, memory that the host had taken back from this machine is asked for again.\n\n- {peer}\n- {}\n",
        args.seconds,
        wrk::version()?,
    ));
    Ok(text)
}

fn ratios(samples: &mut Samples, of: &'static str, to: &'static str, name: &'static str) {
    let values = |name| samples.0.get(name).cloned().unwrap_or_default();
    let ratios = values(of).into_iter().zip(values(to)).map(|(of, to)| of / to).collect();
    samples.0.insert(name, ratios);
}

fn over_base(samples: &mut Samples) {
    let value = |name| samples.summary(name).map(|summary| summary.median);
    if let (Some(base), Some(all)) = (value("base rss"), value("instances rss")) {
        samples.add("over base", (all - base) / MB);
    }
}

fn goal(
    samples: &Samples,
    what: &str,
    name: &str,
    (least, bound, unit): (bool, f64, &str),
) -> String {
    let Some(found) = samples.summary(name) else {
        return format!("- {what}: not measured\n");
    };
    let (word, met) = match least {
        true => ("at least", found.median >= bound),
        false => ("at most", found.median <= bound),
    };
    let verdict = if met { "met" } else { "missed" };
    format!("- {what}: {:.2}{unit}, {word} {bound}: {verdict}\n", found.median)
}
