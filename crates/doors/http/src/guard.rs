//! What every request goes through: a number, a place among those worked on, who asks, whether that
//! one may (ACCESS-1), the record of a change (ACCESS-6), the handler, and one shape of errors.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use axum::response::Response;
use bytes::Bytes;
use cairn_access::{Action, Origin, Resource, Shown, Visit};
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::args::Args;
use crate::call::{Call, Changed, Pieces, pieces, to_its_end};
use crate::door::{Inner, Methods, Mount, allowed, route_for};
use crate::error::Error;
use crate::fs::Location;
use crate::limits::{JSON_BYTES_MAX, URI_BYTES_MAX};
use crate::login::session_of;
use crate::place::Place;
use crate::rest_of_body::RestOfBody;
use crate::route::{Effect, Permission, Route, Rule, Scope};

/// The characters of a path that an error message repeats.
const PATH_SHOWN: usize = 200;

/// Answers a request to a known pattern.
pub(crate) async fn answer(
    door: Inner,
    pattern: &'static str,
    methods: &Methods,
    request: Request,
) -> Response {
    let method = request.method().clone();
    let place = Place::take(&door, pattern, &request);
    let found = route_for(methods, &method);
    let (request, rest) = RestOfBody::of(request);
    let answered = match found {
        None => {
            let method: String = method.as_str().chars().take(32).collect();
            Err(Error::Method { path: pattern, method, allowed: allowed(methods) })
        }
        Some((route, permission)) => {
            let run = Box::pin(let_through(&door, route, *permission, request, &place));
            run.instrument(place.span()).await
        }
    };
    if answered.is_err() {
        rest.read(&door).await;
    }
    place.end(&door, answered)
}

/// Answers a request by the service of another door, which asks who sends it.
pub(crate) async fn mounted(door: Inner, mount: Mount, mut request: Request) -> Response {
    let place = Place::take(&door, mount.pattern, &request);
    let origin = Origin { door: mount.door, ..place.origin(&request) };
    request.extensions_mut().insert(origin);
    if let Err(error) = unambiguous(&request) {
        return place.end(&door, Err(error));
    }
    let _permit = match door.place().await {
        Ok(permit) => permit,
        Err(error) => return place.end(&door, Err(error)),
    };
    let request = request.map(|body| counted_in(&door, body));
    let answered = mount.service.oneshot(request).instrument(place.span()).await;
    let response = answered.unwrap_or_else(|never| match never {});
    let counting = door.clone();
    // Trailers stay where they are: an answer of gRPC ends with its status in them.
    let response = response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            counting.metrics().bytes_out(frame.data_ref().map_or(0, Bytes::len) as u64);
            frame
        }))
    });
    place.end(&door, Ok(response))
}

/// Answers a request to a path that no pattern fits.
pub(crate) async fn nothing_there(door: Inner, request: Request) -> Response {
    let place = Place::take(&door, "(none)", &request);
    let path: String = request.uri().path().chars().take(PATH_SHOWN).collect();
    let answered = match admit(&door, request.headers(), place.origin(&request)).await {
        Err(error) => Err(error),
        Ok(_) => Err(Error::NoRoute { path }),
    };
    place.end(&door, answered)
}

/// Lets a request through to its handler, or not.
async fn let_through(
    door: &Inner,
    route: &Route,
    permission: Permission,
    request: Request,
    place: &Place,
) -> Result<Response, Error> {
    unambiguous(&request)?;
    if matches!(permission, Permission::Public) {
        let origin = place.origin(&request);
        let (parts, _) = request.into_parts();
        let call = Call {
            door: door.clone(),
            args: Args::default(),
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            origin,
            visit: None,
            counted: None,
            body: Box::pin(futures::stream::empty()),
            place: None,
        };
        return (route.handler)(call).await;
    }
    let permit = Arc::new(permit(door, route).await?);
    let origin = place.origin(&request);
    let shown = request.headers().contains_key(header::AUTHORIZATION);
    let visit = match permission {
        Permission::Login => None,
        Permission::Description if !shown => None,
        _ => Some(admit(door, request.headers(), origin.clone()).await?),
    };
    let (parts, body) = request.into_parts();
    if parts.uri.path_and_query().is_some_and(|text| text.as_str().len() > URI_BYTES_MAX) {
        return Err(Error::invalid(format!("the address is longer than {URI_BYTES_MAX} bytes")));
    }
    let public = door.options().public_url.as_deref();
    same_site(public, &parts.method, &parts.uri, &parts.headers)?;
    let args = Args::parse(route.pattern, parts.uri.path())?;
    let body = check_length(&parts.headers, body, route.body_max)?;
    let body: Pieces = if body.is_end_stream() {
        Box::pin(futures::stream::empty())
    } else {
        pieces(door, counted_in(door, body), route.body_max)
    };
    let mut call = Call {
        body,
        door: door.clone(),
        args,
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        origin,
        visit,
        counted: None,
        place: Some(Arc::clone(&permit)),
    };
    authorize(&mut call, permission, route.effect).await?;
    let response = match route.effect {
        Effect::Nothing | Effect::TellingChange | Effect::Counted => (route.handler)(call).await?,
        Effect::Change => change(route, call).await?,
    };
    Ok(finish(door, response, place.method == Method::HEAD, permit))
}

/// Runs a handler that changes something, recorded before and after (ACCESS-6). It ends also when its
/// client is gone: what was begun is told to the log.
async fn change(route: &Route, call: Call) -> Result<Response, Error> {
    let (door, place, handler) = (call.door.clone(), call.place.clone(), route.handler);
    let visit = call.visit()?.clone();
    let asked = format!("{} {}", call.method, call.uri.path());
    let what = move |answer: &Response| match answer.extensions().get::<Changed>() {
        Some(Changed(what)) => what.clone(),
        None => asked,
    };
    let work = async move { visit.change(handler(call), what).await };
    to_its_end(&door, place, work).await?
}

/// What a program on the way could take for another request than we do is refused, after RFC 9112,
/// sections 3.2 and 6.3.
fn unambiguous(request: &Request) -> Result<(), Error> {
    let headers = request.headers();
    let count = |name| headers.get_all(name).iter().count();
    let why = if count(header::HOST) > 1 {
        "there are two Host headers"
    } else if request.version() == Version::HTTP_11 && count(header::HOST) == 0 {
        "there is no Host header"
    } else if count(header::CONTENT_LENGTH) > 1 {
        "there are two Content-Length headers"
    } else if count(header::CONTENT_LENGTH) + count(header::TRANSFER_ENCODING) > 1 {
        "there are both Content-Length and Transfer-Encoding"
    } else {
        return Ok(());
    };
    Err(Error::Ambiguous { why })
}

/// A place among those that are worked on, or among those that follow a tag.
async fn permit(door: &Inner, route: &Route) -> Result<OwnedSemaphorePermit, Error> {
    if !route.lasting {
        return door.place().await;
    }
    let full = Error::Followers { max: door.options().followers_max };
    Arc::clone(door.followers()).try_acquire_owned().map_err(|_| full)
}

async fn admit(door: &Inner, headers: &HeaderMap, origin: Origin) -> Result<Visit, Error> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let unreadable = |detail| {
        let error = cairn_access::Error::Header { detail };
        Error::Access(door.access().refuse(&origin, error))
    };
    let first = shown.next();
    if shown.next().is_some() {
        return Err(unreadable("there are two of them"));
    }
    let first = first.map(HeaderValue::to_str).transpose();
    let first = first.map_err(|_| unreadable("it holds bytes that are no text"))?;
    Ok(door
        .access()
        .admit(Shown { authorization: first, session: session_of(headers) }, origin)
        .await?)
}

/// Every rule of the permission, on the visit of this request (ACCESS-1).
async fn authorize(call: &mut Call, permission: Permission, effect: Effect) -> Result<(), Error> {
    let rules = match permission {
        Permission::Public | Permission::Description | Permission::Login => return Ok(()),
        Permission::SignedIn => {
            return Ok(call.visit()?.sign_in()?);
        }
        Permission::Needs(rules) => rules,
    };
    for rule in rules {
        let asked = match rule.scope {
            // What a body says is looked at only for those who may do the rest.
            Scope::Body(read) => {
                let body = bounded(call).await?;
                let resources = read(&call.args, &body)?;
                call.body = Box::pin(futures::stream::iter([Ok(body)]));
                resources.into_iter().map(|resource| (rule.action, resource)).collect()
            }
            _ => resources(call, rule)?,
        };
        for (action, resource) in asked {
            if effect == Effect::Counted {
                call.counted = Some(call.visit()?.authorize_counted(action, &resource)?);
                continue;
            }
            call.visit()?.authorize(action, &resource)?;
        }
    }
    Ok(())
}

async fn bounded(call: &mut Call) -> Result<Bytes, Error> {
    let mut body = call.take_body();
    let mut all = Vec::new();
    while let Some(piece) = body.next().await {
        all.extend_from_slice(&piece?);
        if all.len() > JSON_BYTES_MAX {
            return Err(Error::TooLarge { max: JSON_BYTES_MAX as u64 });
        }
    }
    Ok(all.into())
}

/// What a rule is about in this request.
fn resources(call: &Call, rule: &Rule) -> Result<Vec<(Action, Resource)>, Error> {
    let one = |resource| Ok(vec![(rule.action, resource)]);
    match rule.scope {
        Scope::Cluster => one(Resource::Cluster),
        Scope::Project => one(Resource::Project(call.args.project()?)),
        Scope::Dataset => {
            let dataset = call.args.dataset()?;
            one(Resource::Dataset(dataset.project, dataset.name))
        }
        Scope::Upload => {
            let Some(owner) = call.caller().owner() else { return one(Resource::Cluster) };
            let id = call.args.upload()?;
            let targets = call.door.uploads().targets(id, owner.as_str())?;
            let about = targets.into_iter().map(|target| {
                (rule.action, Resource::Dataset(target.dataset.project, target.dataset.name))
            });
            Ok(about.collect())
        }
        Scope::Edit => {
            let Some(owner) = call.caller().owner() else { return one(Resource::Cluster) };
            let target = call.door.edits().target(call.args.edit()?, owner.as_str())?;
            one(Resource::Dataset(target.dataset.project, target.dataset.name))
        }
        Scope::Fs => {
            let location = Location::parse(call.args.tail())?;
            Ok(vec![match location.dataset() {
                Some(dataset) => (rule.action, Resource::Dataset(dataset.project, dataset.name)),
                None => (Action::ListDatasets, Resource::Project(location.project)),
            }])
        }
        Scope::Grant => one(match call.args.id()?.parse() {
            Ok(id) => call.snapshot()?.about_grant(&id),
            Err(_) => Resource::Cluster,
        }),
        Scope::Tokens => Ok(vec![(call.visit()?.tokens_action(), Resource::Cluster)]),
        Scope::Body(_) => Err(Error::Internal { detail: "a body was not read".to_owned() }),
    }
}

/// A browser adds the credentials it was once given to requests that any page makes. So nothing is
/// changed by a request that a browser says another site made.
fn same_site(
    public_url: Option<&str>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Error> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let fetched = text(HeaderName::from_static("sec-fetch-site"));
    let foreign = fetched.is_some_and(|site| !matches!(site, "same-origin" | "none"));
    // HTTP/2 has it in the address.
    let host = uri.authority().map(Authority::as_str).or_else(|| text(header::HOST));
    let other = text(header::ORIGIN).is_some_and(|origin| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        // A proxy may name another host to us than browsers name to it.
        let known = [host, public_url.and_then(host_of)];
        authority.is_none() || !known.contains(&authority)
    });
    if foreign || other { Err(Error::CrossSite) } else { Ok(()) }
}

/// The host and port of an address.
fn host_of(url: &str) -> Option<&str> {
    url.split_once("://").and_then(|(_, rest)| rest.split('/').next())
}

fn check_length(headers: &HeaderMap, body: Body, max: usize) -> Result<Body, Error> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match length.and_then(|text| text.parse::<u64>().ok()) {
        Some(length) if length > max as u64 => Err(Error::TooLarge { max: max as u64 }),
        _ => Ok(body),
    }
}

fn counted_in(door: &Inner, body: Body) -> Body {
    let door = door.clone();
    Body::from_stream(body.into_data_stream().inspect(move |piece| {
        if let Ok(piece) = piece {
            door.metrics().bytes_in(piece.len() as u64);
        }
    }))
}

/// Says how long the body is when that is known, counts it, and keeps the request's place until its
/// end.
fn finish(
    door: &Inner,
    response: Response,
    head: bool,
    permit: Arc<OwnedSemaphorePermit>,
) -> Response {
    let (mut parts, body) = response.into_parts();
    let length = HttpBody::size_hint(&body).exact();
    let bodiless = matches!(parts.status.as_u16(), 204 | 304);
    if let Some(length) = length
        && !bodiless
        && !parts.headers.contains_key(header::CONTENT_LENGTH)
    {
        parts.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    if head || bodiless {
        return Response::from_parts(parts, Body::empty());
    }
    let counted = Counted { body, door: door.clone(), _permit: permit };
    Response::from_parts(parts, Body::new(counted))
}

/// A body that is counted, and keeps the place of its request.
struct Counted {
    body: Body,
    door: Inner,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.door.metrics().bytes_out(frame.data_ref().map_or(0, Bytes::len) as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Text that is safe within HTML, also within quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut safe, character| {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            control if control.is_control() => {
                write!(safe, "\\u{{{:x}}}", u32::from(control)).expect("a string takes all text");
            }
            other => safe.push(other),
        }
        safe
    })
}
