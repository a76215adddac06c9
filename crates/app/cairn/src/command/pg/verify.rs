//! `cairn pg verify`.

use std::process::ExitCode;

use cairn_base::ErrorKind;
use cairn_databases::{Base, Mismatch, Report, VerifyOptions};
use cairn_pgwal::Rmgr;
use serde_json::{Value, json};

use super::wal::with_archive;
use crate::cli::PgVerify;
use crate::context::Context;
use crate::{exit, output};

pub(super) async fn verify(context: &Context, args: PgVerify) -> anyhow::Result<ExitCode> {
    let (json, base) = (context.global.json, args.base);
    let options = VerifyOptions { from: args.from, to: args.to, keep: args.show };
    let report = with_archive(context, &args.wal, move |archive| {
        let mut base = Base::open(&base)?;
        Ok(cairn_databases::verify(&mut base, &archive, &options)?)
    });
    let report = report.await?;
    if json {
        output::json(&document(&report))?
    } else {
        show(&report)?
    }
    let total = report.total();
    let clean = total.mismatches + total.errors + total.unimplemented == 0;
    Ok(if clean { ExitCode::SUCCESS } else { exit::code_of(ErrorKind::Corrupt) })
}

fn name(rmgr: u8) -> &'static str {
    Rmgr::from_number(rmgr).map_or("custom", Rmgr::name)
}

fn kind_name(rmgr: u8, kind: u8) -> &'static str {
    Rmgr::from_number(rmgr).map_or("", |rmgr| rmgr.kind_name(kind))
}

fn document(report: &Report) -> Value {
    let total = report.total();
    let kinds = report.kinds.iter().map(|((rmgr, kind), counts)| {
        json!({
            "rmgr": name(*rmgr),
            "kind": kind_name(*rmgr, *kind),
            "info": kind,
            "blocks": counts.blocks,
            "images": counts.images,
            "equal": counts.equal,
            "mismatches": counts.mismatches,
            "unchecked": counts.unchecked,
            "errors": counts.errors,
            "unimplemented": counts.unimplemented,
        })
    });
    json!({
        "records": report.records,
        "end": report.end.to_string(),
        "checked": total.equal + total.mismatches,
        "mismatches": total.mismatches,
        "errors": total.errors,
        "unimplemented": total.unimplemented,
        "kinds": kinds.collect::<Vec<_>>(),
        "first": report.mismatches.iter().map(mismatch).collect::<Vec<_>>(),
    })
}

fn mismatch(found: &Mismatch) -> Value {
    let (id, relation, fork, number) = &found.block;
    json!({
        "lsn": found.at.to_string(),
        "rmgr": name(found.kind.0),
        "kind": kind_name(found.kind.0, found.kind.1),
        "block_id": id,
        "relation": format!("{}/{}/{}", relation.tablespace, relation.database, relation.number),
        "fork": format!("{fork:?}").to_lowercase(),
        "block": number,
        "error": found.error,
        "first_difference": found.first_difference,
    })
}

fn show(report: &Report) -> anyhow::Result<()> {
    output::line(&format!("{} records, to {}", report.records, report.end))?;
    output::line(&format!(
        "{:<34} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
        "record", "blocks", "images", "equal", "unchecked", "MISMATCH", "ERROR", "UNKNOWN"
    ))?;
    for ((rmgr, kind), counts) in &report.kinds {
        output::line(&format!(
            "{:<34} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
            format!("{}/{} {kind:#04x}", name(*rmgr), kind_name(*rmgr, *kind)),
            counts.blocks,
            counts.images,
            counts.equal,
            counts.unchecked,
            counts.mismatches,
            counts.errors,
            counts.unimplemented
        ))?;
    }
    for found in &report.mismatches {
        let [before, ours, theirs] = &*found.pages;
        output::line(&format!("\n{}", mismatch(found)))?;
        output::line(&format!("before {before:?}\nours   {ours:?}\ntheirs {theirs:?}"))?;
    }
    Ok(())
}
