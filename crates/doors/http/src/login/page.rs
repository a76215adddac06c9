//! The page to log in on, and what it sends.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use cairn_access::Shown;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::session::{SESSION_LIFE, open_by_password};
use super::{Here, cookie};
use crate::call::{Call, respond};
use crate::error::Error;
use crate::guard::escape;

/// Nothing but what is in the page itself is loaded, and nobody frames it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";
const STYLE: &str = ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;\
    background:light-dark(#fbfaf8,#141614);color:light-dark(#1d1f1c,#e9ebe7);max-width:22rem;\
    margin:12vh auto 4rem;padding:0 1rem}h1{font-size:1.35rem}\
    label,a,button,input{display:block;width:100%;box-sizing:border-box}label{font-weight:550;margin-top:.8em}\
    input,button,a.way{padding:.5em .7em;font:inherit;color:inherit;border:1px solid light-dark(#8a877f,#747c74);\
    border-radius:6px}input{background:light-dark(#fff,#1b1e1b)}\
    a.way,button{margin:1.2em 0;text-align:center;font-weight:550;text-decoration:none;cursor:pointer}\
    button{background:light-dark(#2f6148,#8fcaa9);border-color:transparent;color:light-dark(#fff,#0d1a13)}\
    :focus-visible{outline:2px solid light-dark(#1c5fb0,#8ab8f5);outline-offset:2px}\
    p.wrong{color:light-dark(#a32020,#f39a94)}";
const NEXT_BYTES_MAX: usize = 1024;

/// A path of this node, and nothing that a browser takes for another site.
pub(super) fn next_of(asked: Option<&str>) -> String {
    let safe = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && !path.contains(['\\', '\r', '\n', '\t'])
            && path.len() <= NEXT_BYTES_MAX
            && path.bytes().all(|byte| byte.is_ascii_graphic())
    };
    asked.filter(safe).unwrap_or("/console/").to_owned()
}

/// The login page that leads back to `path`.
pub(crate) fn login_address(path: &str) -> HeaderValue {
    let next = utf8_percent_encode(path, NON_ALPHANUMERIC);
    HeaderValue::from_str(&format!("/auth/login?next={next}"))
        .unwrap_or(HeaderValue::from_static("/auth/login"))
}

/// An answer that leads elsewhere, by a GET.
pub(crate) fn see_other(address: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, address);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An answer that leads to an address.
pub(super) fn leads_to(address: &str) -> Result<Response, Error> {
    let value = HeaderValue::from_str(address);
    value.map(see_other).map_err(|_| Error::invalid("the address cannot be gone to"))
}

pub(super) async fn show(call: Call) -> Result<Response, Error> {
    let next = next_of(call.query("next")?.as_deref());
    let (here, session) = (Here::of(&call), cookie::session_of(&call.headers).map(str::to_owned));
    let who = logged_in(&here, session.as_deref()).await;
    page(&here, &next, StatusCode::OK, Says { who, wrong: None }).await
}

/// Whose session the browser shows, while it holds.
async fn logged_in(here: &Here, session: Option<&str>) -> Option<String> {
    let shown = Shown { session: Some(session?), ..Shown::default() };
    let visit = here.door.access().admit(shown, here.origin.clone()).await.ok()?;
    visit.caller().owner().map(ToString::to_string)
}

/// What the page says beside its form.
struct Says {
    /// Who is logged in.
    who: Option<String>,
    /// Why a login was refused.
    wrong: Option<String>,
}

async fn page(here: &Here, next: &str, status: StatusCode, says: Says) -> Result<Response, Error> {
    let snapshot = here.door.access().snapshot().await?;
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\"><title>Log in · Cairn</title>\
         <style>{STYLE}</style><main><h1>Log in</h1>"
    );
    let mut put = |text: std::fmt::Arguments<'_>| {
        html.write_fmt(text).expect("a string takes all text");
    };
    if let Some(wrong) = says.wrong {
        put(format_args!("<p class=wrong role=alert>{}</p>", escape(&wrong)));
    }
    if let Some(who) = says.who {
        put(format_args!(
            "<p>You are logged in as <b>{}</b>.</p><form method=post action=\"/auth/logout\">\
             <button>Log out</button></form><p>Or log in as somebody else:</p>",
            escape(&who)
        ));
    }
    let encoded = utf8_percent_encode(next, NON_ALPHANUMERIC);
    for provider in snapshot.providers() {
        let name = &provider.name;
        put(format_args!(
            "<a class=way href=\"/auth/start/{name}?next={encoded}\">Log in with {name}</a>"
        ));
    }
    put(format_args!(
        "<form method=post action=\"/auth/login\"><input type=hidden name=next value=\"{}\">\
         <label for=user>User</label><input id=user name=user autocomplete=username>\
         <label for=password>Password, or a token</label>\
         <input id=password name=password type=password autocomplete=current-password required>\
         <button>Log in</button></form></main>",
        escape(next)
    ));
    let mut response = respond(status, "text/html; charset=utf-8", html);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // With `no-referrer` a browser would not say either that the form is ours.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    Ok(response)
}

/// The value of a field of a form.
fn field(form: &str, name: &str) -> Result<String, Error> {
    let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.find(|(key, _)| *key == name).map_or("", |(_, value)| value);
    let spaced = value.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(Into::into).map_err(|_| Error::invalid("the form is not UTF-8"))
}

pub(super) async fn submit(mut call: Call) -> Result<Response, Error> {
    let body = call.bytes().await?;
    let form = std::str::from_utf8(&body).map_err(|_| Error::invalid("the form is not UTF-8"))?;
    let (user, password) = (field(form, "user")?, field(form, "password")?);
    let next = next_of(Some(&field(form, "next")?));
    let here = Here::of(&call);
    let kept = if password.starts_with(cairn_access::TOKEN_PREFIX) {
        // A token is kept as it is: its own end is the session's.
        let checked = call.door.access().check_own_token(&password, &here.origin).await;
        checked.map(|_| password).map_err(Error::from)
    } else {
        let opened = open_by_password(&here, &user, password).await;
        opened.map(|session| session.token.expose().to_owned())
    };
    match kept {
        Ok(token) => {
            let mut response = leads_to(&next)?;
            let kept = cookie::keep_session(&here, &token, SESSION_LIFE.as_secs());
            response.headers_mut().append(header::SET_COOKIE, kept);
            Ok(response)
        }
        Err(error) => refused(&here, &next, error).await,
    }
}

/// The page again, with why a login was refused.
pub(super) async fn refused(here: &Here, next: &str, error: Error) -> Result<Response, Error> {
    if error.status().is_server_error() {
        return Err(error);
    }
    page(here, next, error.status(), Says { who: None, wrong: Some(error.to_string()) }).await
}

pub(super) async fn logout(call: Call) -> Result<Response, Error> {
    if let Some(token) = cookie::session_of(&call.headers) {
        let (access, origin) = (call.door.access().clone(), call.origin.clone());
        let token = token.to_owned();
        let closing = async move {
            let shown = Shown { session: Some(&token), ..Shown::default() };
            let visit = access.admit(shown, origin).await?;
            access.close_session(&visit).await
        };
        // What does not hold any more needs no closing.
        if let Err(error) = call.to_its_end(closing).await? {
            tracing::debug!(%error, "a session was over already");
        }
    }
    let mut response = leads_to("/auth/login")?;
    response.headers_mut().append(header::SET_COOKIE, cookie::forget_session(&Here::of(&call)));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_nowhere_but_to_this_node() {
        for (asked, next) in [
            (Some("/fs/data/"), "/fs/data/"),
            (Some("/fs/a?download=zip&x=1"), "/fs/a?download=zip&x=1"),
            (None, "/console/"),
            (Some(""), "/console/"),
            (Some("https://evil.example"), "/console/"),
            (Some("//evil.example"), "/console/"),
            (Some("/\\evil.example"), "/console/"),
            (Some("/a\r\nset-cookie: x"), "/console/"),
            (Some("/\tevil"), "/console/"),
            (Some("javascript:alert(1)"), "/console/"),
        ] {
            assert_eq!(next_of(asked), next, "{asked:?}");
        }
        assert_eq!(login_address("/fs/a b"), "/auth/login?next=%2Ffs%2Fa%20b");
    }

    #[test]
    fn forms_are_read_as_browsers_send_them() {
        let form = "user=al+ice&password=a%26b%3D%C3%BC&next=%2Ffs%2F";
        assert_eq!(field(form, "user").unwrap(), "al ice");
        assert_eq!(field(form, "password").unwrap(), "a&b=ü");
        assert_eq!(field(form, "none").unwrap(), "");
        assert!(field("user=%ff", "user").is_err());
    }
}
