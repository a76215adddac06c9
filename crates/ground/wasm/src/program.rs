//! What a program can be: `wasi:cli/run`, or one of the worlds of `cairn:compute`, which tell with types what a program
//! is told by its streams and its environment.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime::Store;
use wasmtime::component::{InstancePre, Resource};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use self::filtering::exports::cairn::compute::filter::{Decision, Request, Response};
use self::scheduled::exports::cairn::compute::schedule::Due;
use crate::files::{Called, File, FileStream};
use crate::guest::Guest;
use crate::logs::Stream;
use crate::sink::{Sink, Take as _};

/// What a filter answers that lets a request pass.
const PASSES: &str = "Status: 204\r\n";

macro_rules! world {
    ($name:ident, $world:literal $(, $with:tt)?) => {
        mod $name {
            wasmtime::component::bindgen!({
                path: "wit",
                world: $world,
                exports: { default: async },
                $(with: $with,)?
            });
        }
    };
}

world!(transformer, "cairn:compute/transformer", { "wasi:io": wasmtime_wasi::p2::bindings::io });
world!(reducer, "cairn:compute/reducer", { "wasi:io": wasmtime_wasi::p2::bindings::io });
world!(scheduled, "cairn:compute/scheduled", { "wasi:io": wasmtime_wasi::p2::bindings::io });
world!(filtering, "cairn:compute/filtering");

/// Code that is run to its end.
pub(crate) enum Program {
    Command(CommandPre<Guest>),
    Transform(transformer::TransformerPre<Guest>),
    Reduce(reducer::ReducerPre<Guest>),
    Schedule(scheduled::ScheduledPre<Guest>),
    Filter(filtering::FilteringPre<Guest>),
}

impl Program {
    /// What can be run of a component.
    pub(crate) fn of(pre: &InstancePre<Guest>) -> Option<Self> {
        let command = CommandPre::new(pre.clone()).map(Self::Command);
        command
            .or_else(|_| transformer::TransformerPre::new(pre.clone()).map(Self::Transform))
            .or_else(|_| reducer::ReducerPre::new(pre.clone()).map(Self::Reduce))
            .or_else(|_| scheduled::ScheduledPre::new(pre.clone()).map(Self::Schedule))
            .or_else(|_| filtering::FilteringPre::new(pre.clone()).map(Self::Filter))
            .ok()
    }

    pub(crate) fn instance_pre(&self) -> &InstancePre<Guest> {
        match self {
            Self::Command(pre) => pre.instance_pre(),
            Self::Transform(pre) => pre.instance_pre(),
            Self::Reduce(pre) => pre.instance_pre(),
            Self::Schedule(pre) => pre.instance_pre(),
            Self::Filter(pre) => pre.instance_pre(),
        }
    }

    /// Runs it to its end; whether it ended well.
    pub(crate) async fn run(
        &self,
        store: &mut Store<Guest>,
        called: &Called,
    ) -> wasmtime::Result<Result<(), ()>> {
        let arguments: Vec<String> = called.arguments.iter().skip(1).cloned().collect();
        let ended = match self {
            Self::Command(pre) => {
                let command = pre.instantiate_async(&mut *store).await?;
                return command.wasi_cli_run().call_run(store).await;
            }
            Self::Transform(pre) => {
                let input = called.inputs.first().map(Arc::clone);
                let (input, output) = (read(store, input)?, written(store, called)?);
                let world = pre.instantiate_async(&mut *store).await?;
                let of = world.cairn_compute_transform();
                of.call_run_part(&mut *store, &arguments, input, output).await?
            }
            Self::Reduce(pre) => {
                let inputs = called.inputs.iter().map(|input| read(store, Some(Arc::clone(input))));
                let inputs = inputs.collect::<wasmtime::Result<Vec<_>>>()?;
                let output = written(store, called)?;
                let world = pre.instantiate_async(&mut *store).await?;
                let of = world.cairn_compute_reduce();
                of.call_merge(&mut *store, &arguments, &inputs, output).await?
            }
            Self::Schedule(pre) => {
                let (due, output) = (due(called), written(store, called)?);
                let world = pre.instantiate_async(&mut *store).await?;
                let of = world.cairn_compute_schedule();
                of.call_tick(&mut *store, &arguments, due.as_ref(), output).await?
            }
            Self::Filter(pre) => {
                let world = pre.instantiate_async(&mut *store).await?;
                let of = world.cairn_compute_filter();
                let decided = of.call_on_request(&mut *store, &request(called)).await?;
                decided.and_then(|decision| decide(decision, called))
            }
        };
        Ok(ended.map_err(|why| store.data().budget.line(Stream::Stderr, why.as_bytes())))
    }
}

fn read(
    store: &mut Store<Guest>,
    input: Option<Arc<dyn File>>,
) -> wasmtime::Result<Resource<DynInputStream>> {
    let input = input.unwrap_or_else(|| crate::files::held(Bytes::new()));
    let stream: DynInputStream = Box::new(FileStream::part(input, 0, u64::MAX));
    Ok(store.data_mut().table.push(stream)?)
}

fn written(
    store: &mut Store<Guest>,
    called: &Called,
) -> wasmtime::Result<Resource<DynOutputStream>> {
    let stream: DynOutputStream = Box::new(Sink(called.output.clone()));
    Ok(store.data_mut().table.push(stream)?)
}

/// A header of the request, or of what a schedule tells as one.
fn header<'a>(called: &'a Called, name: &str) -> Option<&'a str> {
    called.environment.iter().rev().find(|(known, _)| known == name).map(|(_, value)| &**value)
}

fn due(called: &Called) -> Option<Due> {
    let of = |name| header(called, name);
    Some(Due {
        schedule: of("HTTP_CAIRN_SCHEDULE")?.to_owned(),
        tick_ms: of("HTTP_CAIRN_TICK")?.parse().ok()?,
        attempt: of("HTTP_CAIRN_ATTEMPT")?.parse().ok()?,
    })
}

fn request(called: &Called) -> Request {
    let of = |name| header(called, name).unwrap_or_default().to_owned();
    let headers = called.environment.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("HTTP_")?.to_ascii_lowercase().replace('_', "-");
        Some((name, value.clone()))
    });
    let headers = headers.chain([("content-type".to_owned(), of("CONTENT_TYPE"))]);
    let headers = headers.filter(|(_, value)| !value.is_empty()).collect();
    let (method, path, query) = (of("REQUEST_METHOD"), of("PATH_INFO"), of("QUERY_STRING"));
    Request { method, path, query, headers }
}

/// Writes a decision as programs that are filters write it.
fn decide(decision: Decision, called: &Called) -> Result<(), String> {
    let mut text = String::from(PASSES);
    let (set, body) = match decision {
        Decision::Continue => (Vec::new(), Vec::new()),
        Decision::Rewrite(rewrite) => {
            let set = rewrite.headers.into_iter();
            let set = set.map(|(name, value)| (format!("cairn-set-{name}"), value));
            let path = rewrite.path.map(|path| ("cairn-path".to_owned(), path));
            (path.into_iter().chain(set).collect(), Vec::new())
        }
        Decision::Respond(Response { status, headers, body }) => {
            if !(300..=599).contains(&status) {
                return Err(format!("a filter does not answer with the status {status}"));
            }
            text = format!("Status: {status}\r\n");
            (headers, body)
        }
    };
    for (name, value) in set {
        if http::HeaderName::from_bytes(name.as_bytes()).is_err()
            || http::HeaderValue::from_str(&value).is_err()
        {
            return Err(format!("{name:?} is no header with a value that can be sent"));
        }
        write!(text, "{name}: {value}\r\n").map_err(|error| error.to_string())?;
    }
    text.push_str("\r\n");
    let all = [text.as_bytes(), &body].concat();
    called.output.take(&all).map_err(|error| error.to_string())
}
