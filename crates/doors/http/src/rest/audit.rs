//! The audit log: read, followed, verified.

use axum::response::Response;
use bytes::Bytes;
use cairn_access::{Action, Resource};
use cairn_audit::{Batch, Filter, Line, Outcome, SEQ_MAX, Verify};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, TryStreamExt as _};

use super::maintenance::told;
use super::progress::{Lines, progress_lines};
use super::route;
use crate::api::{AuditLine, AuditVerified, AuditVerify, AuditVerifyLine};
use crate::call::{Call, LINES, line, parse_json, streamed};
use crate::error::Error;
use crate::limits::PAGE_MAX;
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Route};

const QUERY: &[Query] = &[
    Query::new("caller", "Who asked; `*` stands for any characters.", Holds::Text),
    Query::new("action", "What was asked for, likewise.", Holds::Text),
    Query::new("resource", "On what, likewise: `@main/photos*`.", Holds::Text),
    Query::new("door", "At which door, likewise.", Holds::Text),
    Query::new(
        "outcome",
        "What came of it.",
        Holds::OneOf(&["allowed", "denied", "refused", "changed", "failed"]),
    ),
    Query::new("since", "Not before, in milliseconds since 1970 UTC.", MOMENT),
    Query::new("until", "Not from then on, in milliseconds since 1970 UTC.", MOMENT),
    Query::new("after", "Only segments after this `seq`.", Holds::Number(0, SEQ_MAX)),
    Query::new("order", "Whether the newest comes first.", Holds::OneOf(&["oldest", "newest"])),
    Query::new(
        "before",
        "With the newest first, only what was recorded before this: `SEQ.INDEX` of the last line.",
        Holds::Text,
    ),
    Query::new("limit", "Lines at most; all unless told.", Holds::Number(1, PAGE_MAX as u64)),
    Query::new("follow", "`true` goes on with what is recorded from then on.", Holds::Flag),
];

/// Milliseconds since 1970, for longer than anybody asks.
const MOMENT: Holds = Holds::Number(0, 1 << 53);

/// After so many segments without anything to tell, the client is told that the connection lives; a
/// follower after so many looks.
const QUIET_MAX: u32 = 1000;
const QUIET_FOLLOWING_MAX: u32 = 10;

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "audit", ..Doc::default() };
    vec![
        route!(GET "/api/v1/audit", read).permission(route::AUDIT).lasting().doc(Doc {
            summary: "What was decided and changed, by whom, from where; in order. An empty line now \
                      and then says that there is nothing to tell yet.",
            query: QUERY,
            answers: BodyDoc::Lines(shape::<AuditLine>),
            ..doc
        }),
        route!(POST "/api/v1/audit/verify", verify)
            .permission(route::AUDIT)
            .changes_nothing()
            .doc(Doc {
                summary: "Checks that nothing in the log was changed, removed or put in. Progress, then \
                          the result, with the log's head to be kept elsewhere.",
                takes: BodyDoc::Json(shape::<AuditVerify>),
                optional: true,
                answers: BodyDoc::Lines(shape::<AuditVerifyLine>),
                ..doc
            }),
    ]
}

fn number<T: std::str::FromStr>(call: &Call, name: &str) -> Result<Option<T>, Error> {
    let Some(text) = call.query(name)? else { return Ok(None) };
    let wrong = || Error::invalid(format!("?{name}= takes a number"));
    text.parse().map(Some).map_err(|_| wrong())
}

fn audit(error: cairn_audit::Error) -> Error {
    cairn_access::Error::from(error).into()
}

async fn read(call: Call) -> Result<Response, Error> {
    let outcome = call.query("outcome")?.map(|word| word.parse::<Outcome>()).transpose();
    let filter = Filter {
        caller: call.query("caller")?,
        action: call.query("action")?,
        resource: call.query("resource")?,
        door: call.query("door")?,
        outcome: outcome.map_err(audit)?,
        since_ms: number(&call, "since")?,
        until_ms: number(&call, "until")?,
    };
    let after = number(&call, "after")?.unwrap_or(0);
    let limit = match call.query_bytes("limit") {
        Some(_) => call.limit()?,
        None => usize::MAX,
    };
    let newest = match call.query("order")?.as_deref() {
        None | Some("oldest") => false,
        Some("newest") => true,
        Some(_) => return Err(Error::invalid("?order= takes oldest or newest")),
    };
    let before = call.query("before")?.map(|text| place(&text)).transpose()?;
    if (newest && (after > 0 || call.flag("follow")?)) || (!newest && before.is_some()) {
        let detail = "?order=newest goes with ?before=, not with ?after= and ?follow=";
        return Err(Error::invalid(detail));
    }
    let log = call.door.access().audit().log().clone();
    if call.flag("follow")? {
        let batches = log.follow(after, filter).await.map_err(audit)?;
        let mut closing = call.door.closing();
        let closed = async move { closing.wait_for(|closing| *closing).await.is_ok() };
        let batches = batches.take_until(Box::pin(closed));
        // The head of the answer does not wait for the first line.
        let quiet = (QUIET_FOLLOWING_MAX, QUIET_FOLLOWING_MAX);
        let batches = limited(batches.map_err(audit).boxed(), limit);
        return streamed(LINES, pieces(call, batches, quiet)).await;
    }
    let batches = if newest {
        let from = before.map(|(seq, index)| if index.is_some() { seq + 1 } else { seq });
        let batches = log.read_back(from, filter).await.map_err(audit)?;
        batches.map_ok(move |batch| cut(batch, before)).map_err(audit).boxed()
    } else {
        log.read(after, filter).await.map_err(audit)?.map_err(audit).boxed()
    };
    streamed(LINES, pieces(call, limited(batches, limit), (0, QUIET_MAX))).await
}

/// `SEQ`, or `SEQ.INDEX`.
fn place(text: &str) -> Result<(u64, Option<u32>), Error> {
    let wrong = || Error::invalid("?before= takes SEQ or SEQ.INDEX, as a line has them");
    let (seq, index) = match text.split_once('.') {
        Some((seq, index)) => (seq, Some(index.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let seq = seq.parse().ok().filter(|seq| *seq <= SEQ_MAX).ok_or_else(wrong)?;
    Ok((seq, index))
}

/// Leaves out what of a segment does not come before a place in it.
fn cut(mut batch: Batch, before: Option<(u64, Option<u32>)>) -> Batch {
    if let Some((seq, Some(index))) = before
        && seq == batch.seq
    {
        batch.lines.retain(|line| matches!(line, Line::Entry(entry) if entry.index < index));
    }
    batch
}

type Batches = BoxStream<'static, Result<Batch, Error>>;

/// At most `limit` lines.
fn limited(batches: Batches, limit: usize) -> Batches {
    let cut = futures::stream::try_unfold((batches, limit), |(mut batches, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let Some(mut batch) = batches.try_next().await? else { return Ok(None) };
        batch.lines.truncate(left);
        let left = left - batch.lines.len();
        Ok(Some((batch, (batches, left))))
    });
    cut.boxed()
}

/// The lines of a batch.
fn lines(batch: &Batch) -> Result<Bytes, Error> {
    let each = batch.lines.iter().map(line).collect::<Result<Vec<_>, Error>>()?;
    Ok(each.concat().into())
}

/// What a reader gets, for as long as it may read the log. `quiet` is how often there was nothing to
/// tell, and how often there may be.
fn pieces(
    call: Call,
    batches: impl Stream<Item = Result<Batch, Error>> + Send + Unpin + 'static,
    (quiet, quiet_max): (u32, u32),
) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    let state = (call, batches, quiet);
    let pieces =
        futures::stream::try_unfold(state, move |(mut call, mut batches, quiet)| async move {
            let Some(batch) = batches.next().await.transpose()? else { return Ok(None) };
            let visit = call.visit()?.again().await?;
            visit.authorize(Action::ReadAudit, &Resource::Cluster)?;
            call.visit = Some(visit);
            let (piece, quiet) = match batch.lines.is_empty() {
                false => (lines(&batch)?, 0),
                true if quiet >= quiet_max => (Bytes::from_static(b"\n"), 0),
                true => (Bytes::new(), quiet + 1),
            };
            Ok::<_, Error>(Some((piece, (call, batches, quiet))))
        });
    // An empty piece is nothing to send.
    pieces.try_filter(|piece| std::future::ready(!piece.is_empty()))
}

/// Ends with its client: it only reads.
async fn verify(mut call: Call) -> Result<Response, Error> {
    let body = call.bytes().await?;
    let asked: AuditVerify =
        if body.is_empty() { AuditVerify::default() } else { parse_json(&body)? };
    let mark = |text: Option<String>| text.map(|text| text.parse()).transpose().map_err(audit);
    let what = Verify { from: mark(asked.from)?, head: mark(asked.head)? };
    let log = call.door.access().audit().log().clone();
    let lines = Lines {
        progress: |seq| AuditVerifyLine::Progress { seq },
        last: |ended: Result<cairn_audit::Verified, cairn_audit::Error>| {
            Ok(match ended {
                Ok(verified) => AuditVerifyLine::Result(told::<_, AuditVerified>(&verified)?),
                Err(error) => {
                    let (kind, message) = (error.kind().to_string(), error.to_string());
                    AuditVerifyLine::Error { kind, message }
                }
            })
        },
    };
    let work = |report: super::progress::Report<u64>| async move {
        log.verify(what, move |seq| report(seq)).await
    };
    streamed(LINES, progress_lines(&call.door.env().clock, work, lines)).await
}

#[cfg(test)]
mod tests {
    use cairn_audit::{Entry, Gap, Record};
    use serde_json::to_value;

    use super::*;

    /// What the log tells comes through whole: a field that the API does not know would be lost.
    #[test]
    fn the_api_has_every_field_of_the_log() {
        let record = Record::new(Outcome::Changed);
        let entry = Entry { seq: 3, index: 7, hub: "00".to_owned(), record };
        for line in [
            Line::Entry(Box::new(entry)),
            Line::Gap(Gap { seq: 4, gap: "it is missing".to_owned() }),
        ] {
            let read: AuditLine = told(&line).unwrap();
            assert_eq!(to_value(&read).unwrap(), to_value(&line).unwrap());
        }
        let finding = cairn_audit::Finding {
            seq: 2,
            kind: cairn_audit::FindingKind::OutOfChain,
            detail: "x".to_owned(),
        };
        let verified = cairn_audit::Verified {
            segments: 1,
            records: 2,
            head: Some("3".to_owned()),
            findings: vec![finding],
            findings_left_out: 4,
        };
        let read: AuditVerified = told(&verified).unwrap();
        assert_eq!(to_value(&read).unwrap(), to_value(&verified).unwrap());
        assert_eq!(read.findings[0].kind, "out_of_chain");
    }
}
