//! Traces over several programs: W3C Trace Context, level 1, section 3.2.
//!
//! A request that is a part of a trace says so; the log names the trace with it. With the feature
//! `otel` the request's span becomes a part of it.

use std::fmt;

use axum::http::HeaderMap;
use tracing::Span;

/// The header that says of which trace a request is a part.
const HEADER: &str = "traceparent";
/// `00-`, a trace, `-`, its parent, `-`, flags.
const CHARS: usize = 55;

/// Of which trace a request is a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    trace: [u8; 16],
    #[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "only a span has a parent"))]
    parent: [u8; 8],
    #[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "only a span is sampled"))]
    flags: u8,
}

/// A trace by its name.
pub(crate) struct TraceId([u8; 16]);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl TraceParent {
    /// What the request says, when it says it once and well.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut said = headers.get_all(HEADER).iter();
        let text = said.next()?.to_str().ok()?;
        if said.next().is_some() { None } else { Self::parse(text) }
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let later = bytes.len() > CHARS && bytes[CHARS] == b'-';
        if bytes.len() != CHARS && !later {
            return None;
        }
        let mut parts = text.split('-');
        let version = lower_hex::<1>(parts.next()?)?[0];
        let (trace, parent) = (lower_hex(parts.next()?)?, lower_hex(parts.next()?)?);
        let flags = lower_hex::<1>(parts.next()?)?[0];
        let known = version != 0xff && (version != 0 || bytes.len() == CHARS);
        let named = trace != [0; 16] && parent != [0; 8];
        (known && named).then_some(Self { trace, parent, flags })
    }

    /// The trace's name.
    pub(crate) fn id(&self) -> TraceId {
        TraceId(self.trace)
    }

    /// Makes `span` a part of the trace.
    #[cfg(feature = "otel")]
    pub(crate) fn adopt(&self, span: &Span) {
        use opentelemetry::trace::{
            SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
        };
        use tracing_opentelemetry::OpenTelemetrySpanExt as _;
        let context = SpanContext::new(
            TraceId::from_bytes(self.trace),
            SpanId::from_bytes(self.parent),
            TraceFlags::new(self.flags),
            true,
            TraceState::default(),
        );
        let parent = opentelemetry::Context::new().with_remote_span_context(context);
        if let Err(error) = span.set_parent(parent) {
            tracing::debug!(%error, "a span stays outside of its trace");
        }
    }

    #[cfg(not(feature = "otel"))]
    pub(crate) fn adopt(&self, _span: &Span) {}
}

fn lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the recommendation, and what it says is to be ignored.
    #[test]
    fn what_is_said_well_is_believed() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parsed = TraceParent::parse(good).unwrap();
        assert_eq!(parsed.id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((parsed.parent[7], parsed.flags), (0xb7, 1));
        let later = format!("{}-and-more", good.replacen("00", "01", 1));
        assert!(TraceParent::parse(&later).is_some());
        for bad in [
            "",
            "00",
            &good[1..],
            &format!("{good}-more"),
            &format!("{good}0"),
            &good.to_uppercase(),
            &good.replacen("00", "ff", 1),
            &good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &good.replace('-', "_"),
            &good.replace('f', "g"),
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
        let mut twice = HeaderMap::new();
        for _ in 0..2 {
            twice.append(HEADER, good.parse().unwrap());
        }
        assert_eq!(TraceParent::of(&twice), None);
    }
}
