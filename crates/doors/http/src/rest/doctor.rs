//! What a node finds out about itself, and what to do about it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use url::Url;

use super::route;
use crate::api::{Check, Doctor};
use crate::call::{Call, json};
use crate::door::Inner;
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc, shape};
use crate::route::{self, Route};

/// An answer of the bucket that takes longer is worth a word.
const BUCKET_SLOW: Duration = Duration::from_secs(1);
/// A bucket that does not answer within this does not answer.
const BUCKET_WAIT_MAX: Duration = Duration::from_secs(10);
/// Clocks that are further apart are worth a word: ages of versions and ends of tokens depend on them.
const CLOCKS_APART_MS: u64 = 60_000;
/// A disk with less free space than this, or than a tenth, is worth a word; a tenth of this is too little.
const FREE_BYTES_MIN: u64 = 10 << 30;
/// Found in a cache less often than this, in percent, after so many questions: it is too small.
const HITS_PERCENT_MIN: u64 = 20;
const QUESTIONS_MIN: u64 = 10_000;

pub(super) fn routes() -> Vec<Route> {
    vec![route!(GET "/api/v1/doctor", doctor).permission(route::MAINTAIN).doc(Doc {
        group: "maintenance",
        summary: "What the node finds out about itself and its bucket, and what to do about it.",
        answers: BodyDoc::Json(shape::<Doctor>),
        ..Doc::default()
    })]
}

async fn doctor(call: Call) -> Result<Response, Error> {
    let door = call.door.clone();
    // Looking at a bucket that hangs ends, also when nobody waits for it any more.
    let findings = call.to_its_end(async move { examine(&door).await }).await?;
    json(StatusCode::OK, &Doctor { findings })
}

async fn examine(door: &Inner) -> Vec<Check> {
    let mut all = vec![program(door)];
    all.push(bucket(door).await);
    all.extend(audit(door).await);
    all.push(contents(door));
    let disk = disk_of(door.datasets().blocks().bucket().url());
    if let Some(path) = disk {
        let looked = door.env().spawn.run(move || disk_space("data disk", &path)).await;
        all.extend(looked.ok());
    }
    all.extend(cache(door));
    all.push(collection(door));
    let own = door.self_checks();
    let looked = door.env().spawn.run(move || own()).await;
    all.extend(looked.unwrap_or_default());
    all
}

fn program(door: &Inner) -> Check {
    let detail = format!("cairn {}", door.options().version);
    if cairn_console::index().is_some() {
        return Check::ok("program", detail);
    }
    let next = "`cargo xtask console` builds it where Node is, then build the program again";
    Check::warning("program", format!("{detail}, built without a web console"), next)
}

/// Whether the bucket answers, and how fast.
async fn bucket(door: &Inner) -> Check {
    let blocks = door.datasets().blocks();
    let kind = blocks.bucket().url().split(':').next().unwrap_or_default().to_owned();
    let clock = &door.env().clock;
    let began = clock.monotonic();
    let asked = tokio::select! {
        biased;
        found = blocks.bucket().head(cairn_blocks::config::CONFIG_KEY) => Some(found),
        () = clock.sleep(BUCKET_WAIT_MAX) => None,
    };
    let took = clock.monotonic().saturating_sub(began);
    let sealed = if blocks.is_encrypted() { "encrypted" } else { "not encrypted" };
    let detail = format!("{kind}, {sealed}, answered in {} ms", took.as_millis());
    match asked {
        Some(Ok(_)) if took < BUCKET_SLOW => Check::ok("bucket", detail),
        Some(Ok(_)) => {
            Check::warning("bucket", detail, "look at the network to the store, and at the store")
        }
        Some(Err(error)) => Check::error(
            "bucket",
            format!("{kind}: {error}"),
            "see the node's log; check the credentials and the network",
        ),
        None => {
            let detail = format!("{kind}: no answer within {} s", BUCKET_WAIT_MAX.as_secs());
            Check::error("bucket", detail, "check the network to the store")
        }
    }
}

/// Whether the log takes records, and by the time of its last segment how far the clocks are apart.
async fn audit(door: &Inner) -> Vec<Check> {
    let audit = door.access().audit();
    let failed = |error: &dyn std::fmt::Display| {
        let next =
            "nothing is changed until it can be written: mend the bucket, see the node's log";
        vec![Check::error("audit log", error.to_string(), next)]
    };
    if let Err(error) = audit.commit().await {
        return failed(&error);
    }
    let (seq, written_ms) = match audit.log().end().await {
        Ok(Some(end)) => end,
        Ok(None) => return failed(&"it is empty although something was written to it"),
        Err(error) => return failed(&error),
    };
    let failures = audit.status().failures;
    let detail = format!("{seq} segments, can be written, {failures} failures since the start");
    let log = if failures == 0 {
        Check::ok("audit log", detail)
    } else {
        Check::warning("audit log", detail, "the node's log says what failed")
    };
    let now_ms = door.env().clock.wall_ns().div_euclid(1_000_000);
    let apart = now_ms.abs_diff(written_ms);
    let detail = format!("{} s from the store's", apart / 1000);
    let clock = if apart <= CLOCKS_APART_MS {
        Check::ok("clock", detail)
    } else {
        Check::warning("clock", detail, "set this machine's clock: `timedatectl set-ntp true`")
    };
    vec![log, clock]
}

fn contents(door: &Inner) -> Check {
    let usage = door.datasets().blocks().usage();
    let detail = format!(
        "{} packs, {} chunks, {} writers, {} packs on their way out",
        usage.packs, usage.chunks, usage.sessions, usage.condemned
    );
    Check::ok("contents", detail)
}

/// The directory of a bucket on this machine.
pub(super) fn disk_of(url: &str) -> Option<PathBuf> {
    Url::parse(url).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}

/// Free bytes and all bytes of the disk that a path is on.
pub(super) fn space_of(path: &Path) -> std::io::Result<(u64, u64)> {
    let stat = rustix::fs::statvfs(path)?;
    Ok((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}

/// How full the disk is that a path is on. Blocks.
pub(crate) fn disk_space(check: &str, path: &Path) -> Check {
    let (free, all) = match space_of(path) {
        Ok(space) => space,
        Err(error) => {
            let detail = format!("{}: {error}", path.display());
            return Check::warning(check, detail, "see whether the directory is there");
        }
    };
    let gib = |bytes: u64| format!("{}.{} GiB", bytes >> 30, ((bytes % (1 << 30)) * 10) >> 30);
    let detail = format!("{} free of {}", gib(free), gib(all));
    let next = "make room: `cairn gc` after removing tags, or a larger disk";
    if free < FREE_BYTES_MIN / 10 {
        Check::error(check, detail, next)
    } else if free < FREE_BYTES_MIN && free < all / 10 {
        Check::warning(check, detail, next)
    } else {
        Check::ok(check, detail)
    }
}

fn cache(door: &Inner) -> Option<Check> {
    let stats = door.datasets().blocks().disk_cache()?;
    let asked = stats.hits + stats.misses;
    let percent = (stats.hits * 100).checked_div(asked).unwrap_or(0);
    let detail = format!(
        "{} MiB of {} MiB, {percent} % of {asked} frames found, {} damaged",
        stats.bytes >> 20,
        stats.bytes_max >> 20,
        stats.damaged
    );
    let full = stats.bytes > stats.bytes_max / 10 * 9;
    Some(if stats.damaged > 0 {
        Check::warning("cache", detail, "its disk gives back other bytes than it got: look at it")
    } else if full && asked > QUESTIONS_MIN && percent < HITS_PERCENT_MIN {
        Check::warning("cache", detail, "give it more room: `cairn up --cache-size`")
    } else {
        Check::ok("cache", detail)
    })
}

/// The last collection of this process.
fn collection(door: &Inner) -> Check {
    let now_ns = door.env().clock.wall_ns();
    let hours = |then: i64| now_ns.saturating_sub(then) / 3_600_000_000_000;
    match door.last_collection().get() {
        None => Check::ok("collection", "none since this node started"),
        Some((then, Ok(what))) => {
            Check::ok("collection", format!("{} hours ago: {what}", hours(then)))
        }
        Some((then, Err(error))) => {
            let detail = format!("failed {} hours ago: {error}", hours(then));
            Check::error("collection", detail, "`cairn verify` says what is wrong")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Level;

    #[test]
    fn a_bucket_on_this_machine_has_a_disk() {
        assert_eq!(disk_of("file:///srv/a%20b"), Some("/srv/a b".into()));
        assert_eq!(disk_of("s3://bucket/prefix"), None);
        assert_eq!(disk_of("memory://"), None);
        let here = disk_space("disk", Path::new("/"));
        assert!(here.detail.contains("GiB free of"), "{here:?}");
        let none = disk_space("disk", Path::new("/nowhere/at/all"));
        assert_eq!(none.level, Level::Warning);
        assert!(none.next_step.is_some());
    }
}
