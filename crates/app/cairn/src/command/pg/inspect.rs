//! `cairn pg inspect`.

use std::ops::ControlFlow;
use std::process::ExitCode;

use cairn_databases::{InspectOptions, Inspected, Line};
use cairn_pgwal::{Relation, Rmgr};
use serde_json::json;

use super::wal::with_archive;
use crate::cli::PgInspect;
use crate::context::Context;
use crate::exit::Usage;
use crate::output;

const DEFAULT_TABLESPACE: u32 = 1663;
const GLOBAL_TABLESPACE: u32 = 1664;

pub(super) async fn inspect(context: &Context, args: PgInspect) -> anyhow::Result<ExitCode> {
    let json = context.global.json;
    let relation = args.page.as_deref().map(page).transpose()?;
    let rmgr = args.rmgr.as_deref().map(rmgr).transpose()?;
    let options = InspectOptions { from: args.from, to: args.to, rmgr, xid: args.xid, relation };
    let listed = args.records || relation.is_some();
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let read = with_archive(context, &args.wal, move |archive| {
        let mut listing = Listing { json, limit, lines: Vec::new(), shown: 0, failed: None };
        let mut tell = |line: &Line| match listed {
            true => listing.tell(line),
            false => ControlFlow::Continue(()),
        };
        let inspected = cairn_databases::inspect(&archive, &options, &mut tell)?;
        match listing.failed {
            Some(error) => Err(error),
            None => Ok((inspected, listing.lines, listing.shown == limit)),
        }
    });
    let (inspected, lines, full) = read.await?;
    if json {
        output::json(&json!({
            "from": inspected.from,
            "to": inspected.to,
            "kinds": inspected.kinds,
            "records": lines,
            "limit_reached": full,
        }))?;
    } else if !listed {
        totals(&inspected)?;
    } else if full {
        output::line(&format!("… up to {}; --limit shows more", inspected.to))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows records as they are read, or gathers them for one document.
struct Listing {
    json: bool,
    limit: usize,
    lines: Vec<Line>,
    shown: usize,
    failed: Option<anyhow::Error>,
}

impl Listing {
    fn tell(&mut self, line: &Line) -> ControlFlow<()> {
        if self.json {
            self.lines.push(line.clone());
        } else if let Err(error) = show(line) {
            self.failed = Some(error);
            return ControlFlow::Break(());
        }
        self.shown += 1;
        if self.shown == self.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// `DATABASE/RELATION[:BLOCK]`, as in `base/5/16384`; `global/1262` for what all databases share.
fn page(text: &str) -> anyhow::Result<(Relation, Option<u32>)> {
    let wrong =
        || Usage(format!("{text:?} is no page; write DATABASE/RELATION:BLOCK, as 5/16384:7"));
    let (path, block) = match text.split_once(':') {
        Some((path, block)) => (path, Some(block.parse().ok().ok_or_else(wrong)?)),
        None => (text, None),
    };
    let path = path.strip_prefix("base/").unwrap_or(path);
    let (database, number) = path.split_once('/').ok_or_else(wrong)?;
    let number = number.parse().ok().ok_or_else(wrong)?;
    let relation = match database {
        "global" | "0" => Relation { tablespace: GLOBAL_TABLESPACE, database: 0, number },
        _ => {
            let database = database.parse().ok().ok_or_else(wrong)?;
            Relation { tablespace: DEFAULT_TABLESPACE, database, number }
        }
    };
    Ok((relation, block))
}

fn rmgr(name: &str) -> anyhow::Result<Rmgr> {
    let all = (0..=u8::MAX).filter_map(Rmgr::from_number);
    let names: Vec<&str> = all.clone().map(Rmgr::name).collect();
    let found = all.clone().find(|rmgr| rmgr.name().eq_ignore_ascii_case(name));
    let what = format!("{name:?} is no resource manager; there are {}", names.join(", "));
    Ok(found.ok_or(Usage(what))?)
}

fn show(line: &Line) -> anyhow::Result<()> {
    let Line { lsn, rmgr, kind, xid, bytes, .. } = line;
    let what = format!("{rmgr}/{kind}");
    output::line(&format!("{lsn:<18} {what:<28} xid {xid:<10} {bytes:>6} bytes"))?;
    for block in &line.blocks {
        let image = match block.image_bytes {
            0 => String::new(),
            bytes => format!(", image of {bytes} bytes"),
        };
        let anew = if block.anew { ", anew" } else { "" };
        let (relation, fork, number) = (&block.relation, block.fork, block.block);
        output::line(&format!("  {relation} {fork} {number}{image}{anew}"))?;
    }
    Ok(())
}

fn totals(inspected: &Inspected) -> anyhow::Result<()> {
    output::line(&format!("{} to {}", inspected.from, inspected.to))?;
    let head = ["record", "records", "bytes", "images", "bytes of images"];
    let [record, records, bytes, images, image_bytes] = head;
    output::line(&format!("{record:<36} {records:>10} {bytes:>12} {images:>9} {image_bytes:>16}"))?;
    for counts in &inspected.kinds {
        output::line(&format!(
            "{:<36} {:>10} {:>12} {:>9} {:>16}",
            format!("{}/{}", counts.rmgr, counts.kind),
            counts.records,
            counts.record_bytes,
            counts.images,
            counts.image_bytes
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read() {
        let of = |tablespace, database, number| Relation { tablespace, database, number };
        assert_eq!(page("5/16384:7").unwrap(), (of(1663, 5, 16384), Some(7)));
        assert_eq!(page("base/5/16384").unwrap(), (of(1663, 5, 16384), None));
        assert_eq!(page("global/1262:0").unwrap(), (of(1664, 0, 1262), Some(0)));
        for bad in ["", "5", "5/", "/5", "5/x", "5/1:", "5/1:x", "a/1"] {
            assert!(page(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn resource_managers_are_found_by_name() {
        assert_eq!(rmgr("btree").unwrap(), Rmgr::Btree);
        assert!(rmgr("nothing").unwrap_err().to_string().contains("Heap"));
    }
}
