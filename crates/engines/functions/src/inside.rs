//! Calls of functions by functions: a request to `http://NAME.cairn.internal/`, or `http://NAME.PROJECT.cairn.internal/`, is
//! answered by the function of that name, where the caller may invoke it (FUNCTIONS-4, FUNCTIONS-9).

use std::sync::Weak;

use cairn_access::Action;
use cairn_base::{ErrorKind, ProjectName};
use cairn_datasets::Dataset;
use cairn_wasm::{Body, Chain, Failure, OutsideError};
use http::header::{CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Uri};

use crate::error::Error;
use crate::functions::{Functions, Shared};
use crate::model::Function;
use crate::visits::admitted;

/// How deep functions call functions that call functions.
const DEPTH_MAX: u32 = 8;
const BELOW: &str = ".cairn.internal";
const CALLER: HeaderName = HeaderName::from_static("cairn-caller");
/// What is said of one connection, or of the one who says it.
const NOT_PASSED_ON: [HeaderName; 5] = [CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE];

/// The functions that one function may call.
pub(crate) struct Inside {
    functions: Weak<Shared>,
    caller: Function,
}

impl Inside {
    pub(crate) fn new(functions: Weak<Shared>, caller: &Function) -> Self {
        Self { functions, caller: caller.clone() }
    }

    /// The function that a request is for; none when it is for somebody outside.
    pub(crate) fn named(&self, uri: &Uri) -> Option<Result<Function, OutsideError>> {
        Some(inside(uri, &self.caller.project)?.map_err(OutsideError::Address))
    }

    /// What a function answers to a request of this one.
    pub(crate) async fn send(
        &self,
        function: Function,
        mut request: http::Request<Body>,
    ) -> Result<http::Response<Body>, OutsideError> {
        let stopped = || OutsideError::Connection("the node stops".to_owned());
        let functions = Functions::of(self.functions.upgrade().ok_or_else(stopped)?);
        let depth = request.extensions().get::<Chain>().map_or(0, |chain| chain.depth);
        if depth > DEPTH_MAX {
            let why = format!("functions call each other {DEPTH_MAX} deep at most");
            return Err(OutsideError::Denied(why));
        }
        let reached = functions.reach(&function).await.map_err(told)?;
        let mut actions = vec![Action::InvokeFunction];
        // Past its filters goes who could remove them.
        if !reached.filters().is_empty() {
            actions.push(Action::DeployFunction);
        }
        self.may(&functions, &function, &actions).await?;
        let headers = request.headers_mut();
        let ours: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
        for name in NOT_PASSED_ON.iter().chain(&ours) {
            headers.remove(name);
        }
        if let Ok(caller) = HeaderValue::from_str(&format!("function/{}", self.caller)) {
            headers.insert(CALLER, caller);
        }
        functions.request_to(&reached, request).await.map_err(told)
    }

    async fn may(
        &self,
        functions: &Functions,
        function: &Function,
        actions: &[Action],
    ) -> Result<(), OutsideError> {
        let resource = function.resource();
        let visit = admitted(functions.judge(), &self.caller, "function").await;
        let asked = visit.and_then(|visit| {
            actions.iter().try_for_each(|action| {
                visit.authorize_counted(*action, &resource).and_then(|used| used.unchanged())
            })
        });
        asked.map_err(|error| match error.kind() {
            ErrorKind::Denied => {
                let Function { project, name } = function.clone();
                let (on, caller) = (Dataset { project, name }, &self.caller);
                let grant = format!("cairn grant add function/{caller} invoker {on}");
                OutsideError::Denied(format!("it may not call {function}: {grant}"))
            }
            _ => OutsideError::Connection(error.to_string()),
        })
    }
}

/// Whether what a header says is this system's to say.
pub(crate) fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with("cairn-") || name.as_str().starts_with("cairn_")
}

/// The function that an address of functions is for, said in a project; none when it is another address, and an error
/// when it is of nobody.
#[must_use]
pub fn inside(uri: &Uri, project: &ProjectName) -> Option<Result<Function, String>> {
    let name = uri.host()?.strip_suffix(BELOW)?;
    let parts: Vec<&str> = name.split('.').collect();
    let named = match parts.as_slice() {
        [name] => name.parse().ok().map(|name| (project.clone(), name)),
        [name, project] => project.parse().ok().zip(name.parse().ok()),
        _ => None,
    };
    let function = named.map(|(project, name)| Function { project, name });
    let plain = uri.scheme_str() == Some("http") && uri.port().is_none();
    Some(
        function.filter(|_| plain).ok_or_else(|| {
            format!("a function is http://NAME{BELOW}/ or http://NAME.PROJECT{BELOW}/")
        }),
    )
}

fn told(error: Error) -> OutsideError {
    match error {
        Error::Failed { failure: Failure::Busy { .. }, .. } => {
            OutsideError::Busy(error.to_string())
        }
        Error::Failed { failure: Failure::Wall { .. }, .. } => OutsideError::Late,
        Error::NoFunction { .. } => OutsideError::Address(error.to_string()),
        error => OutsideError::Broken(error.to_string()),
    }
}
