use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use cairn_base::ErrorKind;
use cairn_functions::{Error as FunctionError, Failure};

/// Why no function answers.
#[derive(Debug)]
pub(crate) enum Error {
    /// No route is for the path.
    NoRoute,
    /// Routes for the path are for other methods.
    Method(Vec<String>),
    /// The request makes no sense.
    Invalid(&'static str),
    /// Too many requests are worked on.
    Busy,
    /// It is not known yet which routes there are.
    Reading,
    /// The caller may not.
    Access(cairn_access::Error),
    /// A filter that says what cannot be done.
    Filter(&'static str),
    /// The function.
    Function(FunctionError),
    /// A WebSocket of another version than 13.
    SocketVersion,
    /// A function that says what no WebSocket can.
    Socket(&'static str),
    /// No file is there.
    NoFile,
    /// No such range of a file of this length.
    Range(u64),
    /// The file cannot be read.
    Data(cairn_datasets::Error),
}

impl From<cairn_access::Error> for Error {
    fn from(error: cairn_access::Error) -> Self {
        Self::Access(error)
    }
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute | Self::NoFile => StatusCode::NOT_FOUND,
            Self::Range(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Data(error) => match error.kind() {
                ErrorKind::Retry => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Busy | Self::Reading => StatusCode::SERVICE_UNAVAILABLE,
            Self::SocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::Filter(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Socket(_) => StatusCode::BAD_GATEWAY,
            Self::Access(error) if error.asks_for_credential() => StatusCode::UNAUTHORIZED,
            Self::Access(error) => match error.kind() {
                ErrorKind::Denied => StatusCode::FORBIDDEN,
                ErrorKind::Invalid => StatusCode::BAD_REQUEST,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::Function(FunctionError::Failed { failure: Failure::Wall { .. }, .. }) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Function(error) => match error.kind() {
                ErrorKind::Retry | ErrorKind::NotFound => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::NoRoute | Self::NoFile => ErrorKind::NotFound.as_str(),
            Self::Data(error) => error.kind().as_str(),
            Self::Method(_) | Self::Invalid(_) | Self::Range(_) | Self::SocketVersion => {
                ErrorKind::Invalid.as_str()
            }
            Self::Busy | Self::Reading => ErrorKind::Retry.as_str(),
            Self::Filter(_) | Self::Socket(_) => ErrorKind::Internal.as_str(),
            Self::Access(error) => error.kind().as_str(),
            Self::Function(error) => error.kind().as_str(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NoRoute => "no route is for this path; `cairn route ls` lists them".to_owned(),
            Self::Method(allowed) => {
                format!("routes for this path are for {} only", allowed.join(", "))
            }
            Self::Invalid(why) => (*why).to_owned(),
            Self::Busy => "too many requests are worked on: try again in a moment".to_owned(),
            Self::Reading => "this node has not read its routes yet: try again".to_owned(),
            Self::Filter(why) => format!("a filter of this function {why}"),
            Self::Access(error) => error.to_string(),
            Self::Function(error) => error.to_string(),
            Self::SocketVersion => "WebSockets here have version 13 (RFC 6455)".to_owned(),
            Self::Socket(why) => format!("the function {why}"),
            Self::NoFile => "no file is there".to_owned(),
            Self::Range(len) => format!("no such range: the file has {len} bytes"),
            Self::Data(error) => {
                tracing::error!(%error, "a file is not read");
                "the file cannot be read; the node's log says why".to_owned()
            }
        }
    }

    /// How it ends a WebSocket: a code of RFC 6455 and a reason.
    pub(crate) fn closes(&self) -> (u16, &'static str) {
        match self {
            Self::Access(error) if error.kind() == ErrorKind::Denied => (1008, "it may not go on"),
            Self::Busy => (1013, "try again later"),
            Self::Function(error) if error.kind() == ErrorKind::Retry => (1013, "try again later"),
            _ => (1011, "the function did not answer"),
        }
    }

    /// The answer, which says no more than the function's name and what happened; its log has the rest.
    pub(crate) fn answer(&self, request: &str) -> Response {
        let (status, message) = (self.status(), self.message());
        let body = serde_json::json!({
            "error": { "kind": self.kind(), "message": message, "request_id": request },
        });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            let asks = HeaderValue::from_static("Bearer realm=\"cairn\"");
            headers.insert(header::WWW_AUTHENTICATE, asks);
        }
        if let Self::Method(allowed) = self
            && let Ok(allowed) = HeaderValue::from_str(&allowed.join(", "))
        {
            headers.insert(header::ALLOW, allowed);
        }
        if matches!(self, Self::SocketVersion) {
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if let Self::Range(len) = self
            && let Ok(range) = HeaderValue::from_str(&format!("bytes */{len}"))
        {
            headers.insert(header::CONTENT_RANGE, range);
        }
        response
    }
}
