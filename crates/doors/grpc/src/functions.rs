//! FunctionAPI: calls of functions without a route.

use std::time::Duration;

use axum::http::{self, HeaderName, HeaderValue, Method, Uri};
use bytes::Bytes;
use cairn_functions::{
    ARGUMENTS_MAX, Asked as Later, Call as Run, CallInfo, CallState, Function, Functions,
    KEY_BYTES_MAX, Kind, Outcome, new_id, takes_header,
};
use http_body_util::{BodyExt as _, Limited};
use tonic::{Request, Response, Status};

use crate::door::Api;
use crate::error::Error;
use crate::gate::Call;
use crate::limits::KV_MESSAGE_BYTES_MAX;
use crate::names;
use crate::proto::function::v1 as proto;
use crate::proto::function::v1::function_api_server::FunctionApi;
use crate::proto::function::v1::{
    BeginRequest, BeginResponse, GetRequest, GetResponse, InvokeRequest, InvokeResponse,
};

/// Headers of one call.
const HEADERS_MAX: usize = 100;
/// Seconds that a call is waited for.
const WAIT_MAX: u32 = 120;

#[tonic::async_trait]
impl FunctionApi for Api {
    async fn invoke(
        &self,
        request: Request<InvokeRequest>,
    ) -> Result<Response<InvokeResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        Ok(Response::new(self.invoked(&call, asked).await?))
    }

    async fn begin(
        &self,
        request: Request<BeginRequest>,
    ) -> Result<Response<BeginResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        let made = self.begun(&call, asked).await?;
        Ok(Response::new(BeginResponse { call: Some(told(made)) }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let (mut call, asked) = Call::admit(request)?;
        Ok(Response::new(self.found(&mut call, asked).await?))
    }
}

impl Api {
    fn functions(&self) -> Result<&Functions, Error> {
        self.functions.as_ref().ok_or(Error::NoFunctions)
    }

    async fn invoked(&self, call: &Call, asked: InvokeRequest) -> Result<InvokeResponse, Error> {
        let (functions, function) = (self.functions()?, named(asked.function.as_ref())?);
        let input = asked.input.unwrap_or_default();
        functions.reach(&function).await?.past_filters(call.visit())?;
        if functions.kind(&function).await? == Kind::Command {
            let arguments = arguments(&function, &input)?;
            let inputs = vec![cairn_functions::held(input.body)];
            let run = Run { arguments, inputs, ..Run::default() };
            let done = functions.run(&function, run).await?;
            fits(done.output.len())?;
            let (output, exit) = (done.output, done.exit);
            return Ok(InvokeResponse { output, exit, ..InvokeResponse::default() });
        }
        let request = request_of(&function, &asked.method, &asked.headers, input)?;
        let (parts, body) = functions.request(&function, request).await?.into_parts();
        let body = Limited::new(body, KV_MESSAGE_BYTES_MAX).collect().await;
        let output = body.map_err(|_| broken())?.to_bytes();
        let headers = parts.headers.iter().map(|(name, value)| proto::Header {
            name: name.to_string(),
            value: Bytes::copy_from_slice(value.as_bytes()),
        });
        let (status, headers) = (parts.status.as_u16().into(), headers.collect());
        Ok(InvokeResponse { output, status, headers, exit: 0 })
    }

    async fn begun(&self, call: &Call, asked: BeginRequest) -> Result<CallInfo, Error> {
        let (functions, function) = (self.functions()?.clone(), named(asked.function.as_ref())?);
        let by = caller(call)?;
        functions.reach(&function).await?.past_filters(call.visit())?;
        let id = match &asked.idempotency_key[..] {
            [] => new_id(&*self.env().rng),
            key if key.len() > KEY_BYTES_MAX => {
                let detail = format!("idempotency_key has at most {KEY_BYTES_MAX} bytes");
                return Err(Error::Invalid { detail });
            }
            key => cairn_functions::call_id(&function, &by, key),
        };
        let input = asked.input.unwrap_or_default();
        let later = Later {
            path: uri_of(&function, &input)?
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .into(),
            media_type: Some(input.media_type.clone()).filter(|media_type| !media_type.is_empty()),
            arguments: input.arguments.clone(),
        };
        within_arguments(&input)?;
        let work =
            async move { functions.call_later(&(function, id), &later, input.body, &by).await };
        call.change(work, |made| format!("call {}", made.id)).await
    }

    async fn found(&self, call: &mut Call, asked: GetRequest) -> Result<GetResponse, Error> {
        let (functions, function) = (self.functions()?, named(asked.function.as_ref())?);
        if asked.wait_seconds > WAIT_MAX {
            let detail = format!("wait_seconds is 0 to {WAIT_MAX}");
            return Err(Error::Invalid { detail });
        }
        let (key, by) = ((function, asked.id), caller(call)?);
        // Others are not told that it is there.
        if functions.called(&key, Duration::ZERO).await?.by != by {
            let (function, id) = key;
            return Err(cairn_functions::Error::NoCall { function, id }.into());
        }
        let wait = Duration::from_secs(asked.wait_seconds.into());
        let info = functions.called(&key, wait).await?;
        call.again().await?;
        let output = match info.state {
            CallState::Done { .. } => functions.output(&key).await?,
            _ => Bytes::new(),
        };
        fits(output.len())?;
        Ok(GetResponse { call: Some(told(info)), output })
    }
}

/// The function that is named.
pub(crate) fn named(named: Option<&proto::Function>) -> Result<Function, Error> {
    let named = named.ok_or_else(|| Error::invalid("name a function"))?;
    Ok(Function { project: names::project(&named.project)?, name: named.name.parse()? })
}

/// Who calls: nobody in particular may not, for what came of it would be everybody's.
fn caller(call: &Call) -> Result<String, Error> {
    let named = call.visit().caller().owner().map(ToString::to_string);
    named.ok_or_else(|| Error::invalid("a call that is kept is somebody's: show a credential"))
}

fn within_arguments(input: &proto::Input) -> Result<(), Error> {
    if input.arguments.len() > ARGUMENTS_MAX {
        return Err(Error::invalid(format!("a call has at most {ARGUMENTS_MAX} arguments")));
    }
    Ok(())
}

fn arguments(function: &Function, input: &proto::Input) -> Result<Vec<String>, Error> {
    within_arguments(input)?;
    Ok([function.name.to_string()].into_iter().chain(input.arguments.iter().cloned()).collect())
}

/// The function's own address, with the path that is asked for.
fn uri_of(function: &Function, input: &proto::Input) -> Result<Uri, Error> {
    let path = if input.path.is_empty() { "/" } else { &input.path };
    let parsed = format!("http://{}{path}", function.name).parse().ok();
    let parsed = parsed.filter(|_| path.starts_with('/'));
    parsed.ok_or_else(|| Error::invalid("a path begins with a slash"))
}

fn request_of(
    function: &Function,
    method: &str,
    headers: &[proto::Header],
    input: proto::Input,
) -> Result<http::Request<cairn_functions::Body>, Error> {
    let uri = uri_of(function, &input)?;
    let method = if method.is_empty() { "POST" } else { method };
    let method = Method::from_bytes(method.as_bytes()).ok().filter(|m| m != Method::CONNECT);
    let method = method.ok_or_else(|| Error::invalid("a method is a word, as PUT"))?;
    if headers.len() > HEADERS_MAX {
        return Err(Error::invalid(format!("a call has at most {HEADERS_MAX} headers")));
    }
    let mut request = http::Request::new(cairn_functions::whole(input.body));
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    let to = request.headers_mut();
    if !input.media_type.is_empty() {
        let media_type = HeaderValue::try_from(input.media_type);
        let media_type = media_type.map_err(|_| Error::invalid("media_type is no header"))?;
        to.insert(http::header::CONTENT_TYPE, media_type);
    }
    for header in headers {
        let name = HeaderName::try_from(&header.name).ok();
        let name = name.filter(takes_header);
        let value = HeaderValue::from_bytes(&header.value).ok();
        let (Some(name), Some(value)) = (name, value) else {
            let what = format!("a function is not asked with the header {:?}", header.name);
            return Err(Error::invalid(what));
        };
        to.append(name, value);
    }
    Ok(request)
}

fn fits(len: usize) -> Result<(), Error> {
    if len > KV_MESSAGE_BYTES_MAX { Err(broken()) } else { Ok(()) }
}

fn broken() -> Error {
    let detail = format!(
        "the answer breaks off, or has more than {KV_MESSAGE_BYTES_MAX} bytes: ask for it by REST"
    );
    Error::Invalid { detail }
}

fn told(info: CallInfo) -> proto::Call {
    let mut call = proto::Call { id: info.id, made_ms: info.made_ms, ..proto::Call::default() };
    match info.state {
        CallState::Waiting { attempt } => {
            call.set_state(proto::State::Waiting);
            call.attempt = attempt;
        }
        CallState::Running { attempt, .. } => {
            call.set_state(proto::State::Running);
            call.attempt = attempt;
        }
        CallState::Done { attempt, ended_ms, outcome, what, status, exit, media_type, .. } => {
            call.set_state(proto::State::Done);
            call.attempt = attempt;
            call.ended_ms = ended_ms;
            call.succeeded = outcome == Outcome::Ok;
            call.what = what;
            call.status = status.map(u32::from);
            call.exit = exit;
            call.media_type = media_type.unwrap_or_default();
        }
    }
    call
}
