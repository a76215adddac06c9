//! Logging in: a page for browsers, the ways by which a program can, and the sessions that come of it.
//!
//! A session is a token of the cluster, made by [`cairn_access::Access::open_session`]: it is in the
//! bucket, so every hub knows it, and is revoked like any other. Browsers keep it in a cookie that no
//! script can read and that no other site's page can use to change anything. A login that goes by an
//! identity provider keeps nothing on a hub: what it must remember is in a cookie of its own.

mod cookie;
mod own;
mod page;
mod provider;
mod session;

use std::sync::Arc;

use cairn_access::Origin;
use cairn_oidc::Oidc;
use tokio::sync::OwnedSemaphorePermit;

use crate::api::{
    DeviceAsked, DeviceBegun, LoginWays, Opened, OwnSessions, PasswordLogin, SessionsEnded,
};
use crate::call::Call;
use crate::door::Inner;
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::rest::route;
use crate::route::{Permission, Route};

/// What of a request a login looks at, which many waits may share.
struct Here {
    door: Inner,
    origin: Origin,
    place: Option<Arc<OwnedSemaphorePermit>>,
}

impl Here {
    fn of(call: &Call) -> Self {
        let place = call.place.clone();
        Self { door: call.door.clone(), origin: call.origin.clone(), place }
    }

    /// Records that a provider vouches for nobody. Returns what to answer.
    fn refuse(&self, error: cairn_access::Error) -> Error {
        if !error.asks_for_credential() {
            return error.into();
        }
        self.door.access().refuse_login(&self.origin, error).into()
    }
}

pub(crate) use cookie::session_of;
pub(crate) use page::{login_address, see_other};

const NEXT: &[Query] =
    &[Query::new("next", "Where to go afterwards: a path of this node.", Holds::Text)];
const CALLBACK: &[Query] = &[
    Query::new("code", "What the provider gave.", Holds::Text),
    Query::new("state", "What the login began with.", Holds::Text),
    Query::new("iss", "Which provider it is.", Holds::Text),
    Query::new("error", "Why the provider gave nothing.", Holds::Text),
];

pub(crate) fn routes() -> Vec<Route> {
    browser_routes().into_iter().chain(program_routes()).chain(own_routes()).collect()
}

fn browser_routes() -> Vec<Route> {
    let doc = Doc { group: "login", ..Doc::default() };
    let page = BodyDoc::Other("text/html", "A page.");
    let form = BodyDoc::Other("application/x-www-form-urlencoded", "The form of the page.");
    vec![
        route!(GET "/auth/login", page::show).permission(Permission::Login).doc(Doc {
            summary: "The page to log in on.",
            query: NEXT,
            answers: page,
            ..doc
        }),
        route!(POST "/auth/login", page::submit).permission(Permission::Login).doc(Doc {
            summary: "Logs a browser in by a password or a token.",
            takes: form,
            status: 303,
            ..doc
        }),
        route!(GET "/auth/start/{id}", provider::start).permission(Permission::Login).doc(Doc {
            summary: "Sends a browser to an identity provider.",
            query: NEXT,
            status: 303,
            ..doc
        }),
        route!(GET "/auth/callback", provider::callback).permission(Permission::Login).doc(Doc {
            summary: "Where an identity provider sends a browser back to.",
            query: CALLBACK,
            status: 303,
            ..doc
        }),
        route!(POST "/auth/logout", page::logout).permission(Permission::Login).doc(Doc {
            summary: "Ends the session of a browser.",
            status: 303,
            ..doc
        }),
    ]
}

fn program_routes() -> Vec<Route> {
    let doc = Doc { group: "login", ..Doc::default() };
    let begin = "/api/v1/login/device/{id}";
    let poll = "/api/v1/login/device/{id}/poll";
    vec![
        route!(GET "/api/v1/login", session::ways).permission(Permission::Login).doc(Doc {
            summary: "How one can log in here.",
            answers: BodyDoc::Json(shape::<LoginWays>),
            ..doc
        }),
        route!(POST "/api/v1/login/password", session::by_password)
            .permission(Permission::Login)
            .doc(Doc {
                summary: "Opens a session by a password.",
                takes: BodyDoc::Json(shape::<PasswordLogin>),
                answers: BodyDoc::Json(shape::<Opened>),
                status: 201,
                ..doc
            }),
        route!(POST begin, provider::begin_device).permission(Permission::Login).doc(Doc {
            summary: "Begins a login by an identity provider for a program without a browser.",
            answers: BodyDoc::Json(shape::<DeviceBegun>),
            status: 201,
            ..doc
        }),
        route!(POST poll, provider::poll_device).permission(Permission::Login).doc(Doc {
            summary: "Asks whether somebody has logged in; 202 while nobody has.",
            takes: BodyDoc::Json(shape::<DeviceAsked>),
            answers: BodyDoc::Json(shape::<Opened>),
            status: 201,
            also: &[(202, "Nobody has logged in yet.")],
            ..doc
        }),
        route!(DELETE "/api/v1/login", session::close).permission(Permission::SignedIn).doc(Doc {
            summary: "Ends the caller's session.",
            status: 204,
            ..doc
        }),
    ]
}

fn own_routes() -> Vec<Route> {
    let doc = Doc { group: "login", ..Doc::default() };
    let all = "/api/v1/login/sessions";
    let one = "/api/v1/login/sessions/{id}";
    vec![
        route!(GET all, own::list).permission(Permission::SignedIn).doc(Doc {
            summary: "The caller's sessions, the newest first.",
            answers: BodyDoc::Json(shape::<OwnSessions>),
            ..doc
        }),
        route!(DELETE all, own::end_all).permission(Permission::SignedIn).doc(Doc {
            summary: "Ends all sessions of the caller, wherever they were opened.",
            answers: BodyDoc::Json(shape::<SessionsEnded>),
            ..doc
        }),
        route!(DELETE one, own::end_one).permission(Permission::SignedIn).doc(Doc {
            summary: "Ends one session of the caller.",
            status: 204,
            ..doc
        }),
    ]
}

/// The client of identity providers, which is made when a door is.
pub(crate) fn client(env: &cairn_env::Env) -> Result<Oidc, Error> {
    Oidc::new(env)
        .map_err(|error| Error::Internal { detail: format!("TLS cannot be set up: {error}") })
}
