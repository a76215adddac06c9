//! The node itself: whether it lives, what it is, how it is doing.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use cairn_blocks::DiskCacheStats;
use cairn_functions::{ENDS_MS, Functions};
use cairn_kv::Kv;
use cairn_partition::Usage;

use super::route;
use crate::api::NodeVersion;
use crate::call::{Call, json, respond};
use crate::error::Error;
use crate::metrics::{Metric, family, put, resident_bytes};
use crate::openapi::{BodyDoc, Doc, shape};
use crate::route::{self, Permission, Route};

const TEXT: &str = "text/plain; charset=utf-8";

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "node", ..Doc::default() };
    let text = |about| BodyDoc::Other(TEXT, about);
    vec![
        route!(GET "/livez", livez).permission(Permission::Public).doc(Doc {
            summary: "Whether the process answers.",
            answers: text("`ok`."),
            ..doc
        }),
        route!(GET "/readyz", readyz).permission(Permission::Public).doc(Doc {
            summary: "Whether the bucket answers.",
            answers: text("`ok`."),
            ..doc
        }),
        route!(GET "/metrics", metrics).permission(route::METRICS).doc(Doc {
            summary: "Numbers, in the text format of Prometheus.",
            answers: text("Samples."),
            ..doc
        }),
        route!(GET "/api/v1/version", version).permission(route::LOOK).doc(Doc {
            summary: "What the node is.",
            answers: BodyDoc::Json(shape::<NodeVersion>),
            ..doc
        }),
        route!(GET "/api/openapi.json", openapi).permission(Permission::Description).doc(Doc {
            summary: "This document.",
            answers: BodyDoc::Other("application/json", "OpenAPI 3.1."),
            ..doc
        }),
        route!(GET "/api/docs", docs_entry).permission(Permission::Description).doc(Doc {
            summary: "Leads to the page that shows this document.",
            status: 307,
            ..doc
        }),
        route!(GET "/api/docs/{*path}", docs).permission(Permission::Description).doc(Doc {
            summary: "A page that shows this document.",
            answers: BodyDoc::Other("text/html", "The page and its parts."),
            ..doc
        }),
        route!(GET "/", root).permission(Permission::Description).doc(Doc {
            summary: "Leads a browser to /console/, and others to /fs/.",
            status: 307,
            ..doc
        }),
    ]
}

async fn livez(_call: Call) -> Result<Response, Error> {
    Ok(respond(StatusCode::OK, TEXT, "ok\n"))
}

/// A node is ready when the bucket answers, which the access state stands for: no request is decided
/// without it; and when it takes the audit log: nothing is done without that.
async fn readyz(call: Call) -> Result<Response, Error> {
    // What is wrong in detail is for the log, not for everybody.
    if let Err(error) = call.door.access().refresh().await {
        tracing::warn!(%error, "not ready");
        return Err(Error::NotReady);
    }
    if call.door.access().audit().status().behind {
        tracing::warn!("not ready: the audit log is not written");
        return Err(Error::NotReady);
    }
    Ok(respond(StatusCode::OK, TEXT, "ok\n"))
}

async fn version(call: Call) -> Result<Response, Error> {
    let version = NodeVersion {
        name: "cairn".to_owned(),
        version: call.door.options().version.clone(),
        bucket_id: call.door.datasets().blocks().id().to_owned(),
        web: call.door.web_urls().to_vec(),
    };
    json(StatusCode::OK, &version)
}

async fn openapi(call: Call) -> Result<Response, Error> {
    Ok(respond(StatusCode::OK, "application/json", call.door.openapi().clone()))
}

async fn root(call: Call) -> Result<Response, Error> {
    let person = crate::console::is_navigation(&call.headers);
    let mut response = redirect(if person { "/console/" } else { "/fs/" });
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

async fn docs_entry(_call: Call) -> Result<Response, Error> {
    Ok(redirect("/api/docs/index.html"))
}

fn redirect(to: &'static str) -> Response {
    let mut response = respond(StatusCode::TEMPORARY_REDIRECT, TEXT, "");
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(to));
    response
}

/// Swagger UI, which is part of this program: nothing is loaded from outside.
async fn docs(call: Call) -> Result<Response, Error> {
    let path: Vec<_> =
        call.args.tail().iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let path = path.join("/");
    // Its default shows the document's address to a service on the Internet.
    let config = utoipa_swagger_ui::Config::from("/api/openapi.json").validator_url("none");
    let file = utoipa_swagger_ui::serve(&path, std::sync::Arc::new(config))
        .map_err(|error| Error::Internal { detail: error.to_string() })?;
    let Some(file) = file else {
        return Err(Error::NoPath { detail: format!("there is no /api/docs/{path}") });
    };
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let mut response = respond(StatusCode::OK, TEXT, bytes);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&file.content_type) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
             frame-ancestors 'none'",
        ),
    );
    Ok(response)
}

async fn metrics(call: Call) -> Result<Response, Error> {
    let mut text = call.door.metrics().text();
    let usage = call.door.datasets().blocks().usage();
    let index_memory = call.door.datasets().blocks().index_memory() as u64;
    let uploads = call.door.uploads().count() as u64;
    let edits = call.door.edits().count() as u64;
    let audit = call.door.access().audit().status();
    let name = "cairn_audit_failures_total";
    family(&mut text, name, "counter", "Segments of the audit log that could not be written.");
    put(&mut text, name, "", audit.failures);
    let waiting = audit.waiting_bytes as u64;
    let gauges = [
        ("cairn_audit_waiting_bytes", "Records of the audit log that wait.", Some(waiting)),
        ("cairn_uploads_open", "Uploads that are open.", Some(uploads)),
        ("cairn_edits_open", "Edits that are open.", Some(edits)),
        ("cairn_blocks_packs", "Packs in the bucket.", Some(usage.packs)),
        ("cairn_blocks_chunks", "Chunks in the bucket.", Some(usage.chunks)),
        ("cairn_blocks_runs", "Runs of the chunk index.", Some(usage.runs)),
        ("cairn_blocks_index_bytes", "Bytes of the chunk index.", Some(usage.index_bytes)),
        ("cairn_blocks_index_memory_bytes", "Memory of the chunk index.", Some(index_memory)),
        ("cairn_blocks_sessions", "Writers that hold a lease.", Some(usage.sessions)),
        ("cairn_blocks_packs_condemned", "Packs on their way out.", Some(usage.condemned)),
        ("process_resident_memory_bytes", "Memory of the process.", resident_bytes()),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            family(&mut text, name, "gauge", help);
            put(&mut text, name, "", value);
        }
    }
    if let Some(stats) = call.door.datasets().blocks().disk_cache() {
        disk_cache(&mut text, &stats);
    }
    if let Some(usage) = call.door.kv().ok().and_then(Kv::usage) {
        partitions(&mut text, &usage);
    }
    for Metric { name, kind, help, value } in call.door.more_metrics() {
        family(&mut text, name, kind, help);
        put(&mut text, name, "", value);
    }
    if let Ok(functions) = call.door.functions() {
        durations(&mut text, functions);
    }
    Ok(respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
}

/// The histogram of how long calls of functions took.
fn durations(text: &mut String, functions: &Functions) {
    let name = "cairn_function_duration_seconds";
    family(text, name, "histogram", "Time to the head of an answer, or the end of a program.");
    let (counts, sum) = functions.durations();
    let mut below = 0;
    for (at, count) in counts.iter().enumerate() {
        below += count;
        let seconds = |ms: &u64| Duration::from_millis(*ms).as_secs_f64().to_string();
        let end = ENDS_MS.get(at).map_or_else(|| "+Inf".to_owned(), seconds);
        put(text, &format!("{name}_bucket"), &format!("le=\"{end}\""), below);
    }
    put(text, &format!("{name}_sum"), "", sum.as_secs_f64());
    put(text, &format!("{name}_count"), "", below);
}

/// The families of partitions and of their log.
fn partitions(text: &mut String, usage: &Usage) {
    let log = &usage.log;
    for (name, help, kind, value) in [
        ("partitions_open", "Partitions open here.", "gauge", usage.open as u64),
        ("partitions_leased", "1 while the node's lease holds.", "gauge", usage.leased.into()),
        ("log_appended_bytes_total", "Bytes synced.", "counter", log.appended_bytes),
        ("log_groups_total", "Groups synced.", "counter", log.groups),
        ("log_frames_total", "Frames in them.", "counter", log.frames),
        ("log_syncs_total", "Syncs of the log.", "counter", log.syncs),
        ("log_waiting_bytes", "Bytes not acknowledged.", "gauge", log.buffered_bytes),
        ("log_bytes", "Bytes of segments in use.", "gauge", log.local_bytes),
        ("log_segments", "Segments in use.", "gauge", log.segments as u64),
        ("log_unshipped_bytes", "Bytes not in the bucket.", "gauge", log.unshipped_bytes),
    ] {
        let name = format!("cairn_{name}");
        family(text, &name, kind, help);
        put(text, &name, "", value);
    }
    let age = log.unshipped_age.unwrap_or_default();
    for (name, help, kind, time) in [
        ("cairn_log_sync_seconds_total", "Time that syncs took.", "counter", log.sync_time),
        ("cairn_log_unshipped_seconds", "Age of the oldest of it.", "gauge", age),
    ] {
        family(text, name, kind, help);
        put(text, name, "", time.as_secs_f64());
    }
}

/// The families of the cache of frames on this machine's disk.
fn disk_cache(text: &mut String, stats: &DiskCacheStats) {
    for (name, help, kind, value) in [
        ("hits_total", "Frames found on disk.", "counter", stats.hits),
        ("misses_total", "Frames not found on disk.", "counter", stats.misses),
        ("damaged_total", "Frames on disk that were damaged.", "counter", stats.damaged),
        ("evictions_total", "Frames that made room for others.", "counter", stats.evictions),
        ("frames", "Frames on disk.", "gauge", stats.frames),
        ("bytes", "Bytes that they take.", "gauge", stats.bytes),
        ("bytes_max", "Bytes that they may take; 0 when it is off.", "gauge", stats.bytes_max),
    ] {
        let name = format!("cairn_disk_cache_{name}");
        family(text, &name, kind, help);
        put(text, &name, "", value);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cairn_partition::log::LogStats;

    use super::*;

    #[test]
    fn the_families_of_partitions_are_documented() {
        let mut text = String::new();
        partitions(&mut text, &Usage { open: 3, leased: true, log: LogStats::default() });
        assert!(text.contains("cairn_partitions_open 3\n"), "{text}");
        assert!(text.contains("cairn_partitions_leased 1\n"), "{text}");
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let served: BTreeSet<String> =
            types.map(|(name, kind)| format!("| `{name}` | {kind} |")).collect();
        let document = include_str!("../../../../../docs/METRICS.md");
        let rows = document.lines().filter(|line| {
            line.starts_with("| `cairn_log_") || line.starts_with("| `cairn_partitions_")
        });
        let documented: BTreeSet<String> = rows
            .map(|row| row.splitn(4, " | ").take(2).collect::<Vec<_>>().join(" | ") + " |")
            .collect();
        assert_eq!(served, documented);
    }
}
