//! Listings, as JSON for programs and as plain pages for people. The pages need no script, and every
//! name that a stranger chose is escaped as text and encoded as a link, byte by byte.

use std::fmt::Write as _;

use axum::http::{StatusCode, header};
use axum::response::Response;
use cairn_base::DatasetName;
use cairn_chunk::ChunkId;
use cairn_datasets::{Browser, Dataset, Listed, Node, Store as _};
use cairn_tree::{Entry, Kind};
use serde::Serialize;

use super::location::Location;
use super::set;
use super::walk::{children, encoded};
use super::{HTML, sandbox};
use crate::api::{DatasetPage, TagPage};
use crate::call::{Call, json, respond};
use crate::error::Error;
use crate::guard::escape;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;\
    padding:0 1em;color:#222;background:#fff}h1{font-size:1.2em;font-weight:600}\
    table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2em .8em .2em 0;\
    border-bottom:1px solid #eee}td+td,th+th{text-align:right;white-space:nowrap;color:#666;\
    font-variant-numeric:tabular-nums}a{color:#05a;text-decoration:none}\
    a:hover{text-decoration:underline}\
    @media(prefers-color-scheme:dark){body{background:#181a1b;color:#ddd}\
    td,th{border-color:#333}td+td,th+th{color:#999}a{color:#7bf}}";

/// A line of a page: where it leads, what it is called, how large, from when.
struct Row {
    href: String,
    name: String,
    size: Option<u64>,
    secs: i64,
}

#[derive(Serialize)]
struct Listing {
    entry: Node,
    children: Vec<Node>,
    next: Option<String>,
}

pub(super) async fn datasets(call: Call, location: Location) -> Result<Response, Error> {
    let (limit, after) = (call.limit()?, call.query("after")?.unwrap_or_default());
    let as_json = wants_json(&call)?;
    let visit = call.visit()?.clone();
    let all = call.door.datasets().list(&location.project).await?;
    let mut left = all.into_iter().filter(|summary| {
        let name = summary.name.parse::<DatasetName>();
        summary.name > after && name.is_ok_and(|name| visit.may_read(&location.project, &name))
    });
    let datasets: Vec<_> = left.by_ref().take(limit).collect();
    let more = left.next().is_some();
    let next = datasets.last().filter(|_| more).map(|last| last.name.clone());
    if as_json {
        return Ok(fresh(json(StatusCode::OK, &DatasetPage { datasets, next })?));
    }
    let rows = datasets.iter().map(|summary| Row {
        href: format!("{}/", summary.name),
        name: format!("{}/", summary.name),
        size: Some(summary.newest.bytes),
        secs: summary.newest.time_ns.div_euclid(1_000_000_000),
    });
    let title = format!("Datasets of {}", location.project);
    Ok(page(&title, None, rows.collect(), next.as_deref(), false))
}

pub(super) async fn tags(call: Call, dataset: Dataset) -> Result<Response, Error> {
    let (limit, after) = (call.limit()?, call.query("after")?.unwrap_or_default());
    let as_json = wants_json(&call)?;
    let mut all = call.door.datasets().tags(&dataset).await?;
    all.sort_by(|a, b| a.tag.cmp(&b.tag));
    let mut left = all.into_iter().filter(|tag| tag.tag > after);
    let mut tags: Vec<_> = left.by_ref().take(limit).collect();
    tags.iter_mut().for_each(|tag| tag.history.clear());
    let more = left.next().is_some();
    let next = tags.last().filter(|_| more).map(|last| last.tag.clone());
    if as_json {
        return Ok(fresh(json(StatusCode::OK, &TagPage { tags, next })?));
    }
    let rows = tags.iter().map(|tag| Row {
        href: format!("{}/", tag.tag),
        name: format!("{}/", tag.tag),
        size: Some(tag.current.bytes),
        secs: tag.current.time_ns.div_euclid(1_000_000_000),
    });
    Ok(page(&dataset.to_string(), Some("../"), rows.collect(), next.as_deref(), false))
}

pub(super) async fn directory(
    call: Call,
    browser: &Browser,
    entry: Entry,
    top: Option<ChunkId>,
    path: Vec<Vec<u8>>,
) -> Result<Response, Error> {
    let (limit, after) = (call.limit()?, call.query_bytes("after"));
    let as_json = wants_json(&call)?;
    let (found, next) = children(browser, top, limit, after.as_deref()).await?;
    let path = path.join(&b'/');
    if as_json {
        let below = |entry: Entry| {
            let mut at = path.clone();
            if !at.is_empty() {
                at.push(b'/');
            }
            at.extend_from_slice(&entry.name);
            Listed { path: at, entry }.node()
        };
        let entry = Listed { path: path.clone(), entry }.node();
        let children = found.into_iter().map(below).collect();
        return Ok(fresh(json(StatusCode::OK, &Listing { entry, children, next })?));
    }
    let rows = found.iter().map(row).collect();
    let title = format!("{}: /{}", browser.dataset(), String::from_utf8_lossy(&path));
    Ok(page(&title, Some("../"), rows, next.as_deref(), true))
}

fn row(entry: &Entry) -> Row {
    let (mark, size) = match &entry.kind {
        Kind::Directory { totals, .. } => ("/", Some(totals.bytes)),
        Kind::File { content } => ("", Some(content.len)),
        Kind::Symlink { .. } => ("", None),
        Kind::Hardlink { .. } => ("", None),
    };
    let arrow = match &entry.kind {
        Kind::Symlink { target } => format!(" → {}", String::from_utf8_lossy(target)),
        _ => String::new(),
    };
    let name = String::from_utf8_lossy(&entry.name);
    Row {
        href: format!("{}{mark}", encoded(&entry.name)),
        name: format!("{name}{mark}{arrow}"),
        size,
        secs: entry.meta.mtime.secs,
    }
}

/// A page of links. A name could hold a colon, which makes a scheme of what stands before it, so
/// every link begins with `./`; names are encoded besides.
fn page(
    title: &str,
    up: Option<&str>,
    rows: Vec<Row>,
    next: Option<&str>,
    downloads: bool,
) -> Response {
    let title = escape(title);
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style><h1>{title}</h1>"
    );
    if downloads {
        html.push_str(
            "<p><a href=\"./?download=tar.zst\">tar.zst</a> · <a href=\"./?download=zip\">zip</a>",
        );
    }
    html.push_str("<table><tr><th>Name<th>Size<th>Modified\n");
    if let Some(up) = up {
        put(&mut html, format_args!("<tr><td><a href=\"{up}\">../</a><td><td>\n"));
    }
    for row in rows {
        let size = row.size.map(people).unwrap_or_default();
        put(
            &mut html,
            format_args!(
                "<tr><td><a href=\"./{}\">{}</a><td>{size}<td>{}\n",
                escape(&row.href),
                escape(&row.name),
                date(row.secs)
            ),
        );
    }
    html.push_str("</table>");
    if let Some(next) = next {
        put(&mut html, format_args!("<p><a href=\"./?after={}\">More</a>", escape(next)));
    }
    html.push_str("<p><a href=\"/auth/login\">Log in or out</a></html>\n");
    let mut response = respond(StatusCode::OK, HTML, html);
    sandbox(response.headers_mut());
    fresh(response)
}

fn put(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text).expect("a string takes all text");
}

/// A listing is of this moment and for this caller.
fn fresh(mut response: Response) -> Response {
    set(response.headers_mut(), header::CACHE_CONTROL, "private, no-cache");
    set(response.headers_mut(), header::VARY, "Accept, Authorization, Cookie");
    response
}

fn wants_json(call: &Call) -> Result<bool, Error> {
    match call.query("format")?.as_deref() {
        Some("json") => return Ok(true),
        Some("html") => return Ok(false),
        Some(_) => return Err(Error::invalid("?format= takes json or html")),
        None => {}
    }
    let accept = call.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let accept = accept.unwrap_or_default();
    let at = |media_type| accept.find(media_type).unwrap_or(usize::MAX);
    Ok(at("application/json") < at("text/html"))
}

/// A size as people write it: three digits and a unit.
fn people(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut whole, mut tenth, mut unit) = (bytes / 1000, bytes % 1000 / 100, 0);
    while whole >= 1000 && unit + 1 < UNITS.len() {
        (tenth, whole) = (whole % 1000 / 100, whole / 1000);
        unit += 1;
    }
    match whole {
        0..10 => format!("{whole}.{tenth} {}", UNITS[unit]),
        _ => format!("{whole} {}", UNITS[unit]),
    }
}

/// `YYYY-MM-DD hh:mm` in UTC, by the proleptic Gregorian calendar (Howard Hinnant's
/// `civil_from_days`); nothing for times that no calendar has.
fn date(secs: i64) -> String {
    const YEAR_9999_END: i64 = 253_402_300_799;
    const YEAR_0: i64 = -62_167_219_200;
    if !(YEAR_0..=YEAR_9999_END).contains(&secs) {
        return String::new();
    }
    let (days, second) = (secs.div_euclid(86_400) + 719_468, secs.rem_euclid(86_400));
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", second / 3600, second % 3600 / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_dates_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9_990, "9.9 kB"),
            (123_456, "123 kB"),
            (1_900_000, "1.9 MB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(people(bytes), text);
        }
        for (secs, text) in [
            (0, "1970-01-01 00:00"),
            (-1, "1969-12-31 23:59"),
            (951_827_696, "2000-02-29 12:34"),
            (253_402_300_799, "9999-12-31 23:59"),
            (i64::MAX, ""),
            (i64::MIN, ""),
        ] {
            assert_eq!(date(secs), text);
        }
    }

    /// Names of strangers show as text and lead where they are, whatever they hold.
    #[test]
    fn hostile_names_stay_names() {
        let name = b"\"><script>alert(1)</script>\xff%2f\n".to_vec();
        let entry = Entry {
            name,
            meta: cairn_tree::Meta::default(),
            kind: Kind::Symlink { target: b"<i>".to_vec() },
        };
        let response = page("<title>", None, vec![row(&entry)], Some("a&b"), true);
        let body = futures::executor::block_on(axum::body::to_bytes(response.into_body(), 1 << 20));
        let html = String::from_utf8(body.unwrap().to_vec()).unwrap();
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("<i>"), "{html}");
        assert!(
            html.contains("href=\"./%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E%FF%252f%0A\""),
            "{html}"
        );
        assert!(html.contains("&lt;script&gt;"), "{html}");
    }
}
