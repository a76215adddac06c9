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
    /// The caller may not.
    Access(cairn_access::Error),
    /// A filter that says what cannot be done.
    Filter(&'static str),
    /// The function.
    Function(FunctionError),
}

impl From<cairn_access::Error> for Error {
    fn from(error: cairn_access::Error) -> Self {
        Self::Access(error)
    }
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Filter(_) => StatusCode::INTERNAL_SERVER_ERROR,
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
            Self::NoRoute => ErrorKind::NotFound.as_str(),
            Self::Method(_) | Self::Invalid(_) => ErrorKind::Invalid.as_str(),
            Self::Busy => ErrorKind::Retry.as_str(),
            Self::Filter(_) => ErrorKind::Internal.as_str(),
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
            Self::Filter(why) => format!("a filter of this function {why}"),
            Self::Access(error) => error.to_string(),
            Self::Function(error) => error.to_string(),
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
        response
    }
}
