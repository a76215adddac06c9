//! A filter: lets requests pass that show a JWT (RFC 7519) signed with HS256 by `SECRET`, one of its variables, and sets
//! the header `x-user` to whom it is about.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

/// The shortest secret that is taken: the length of the hash (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

struct Guard;
wasip2::http::proxy::export!(Guard);

impl Guest for Guard {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (status, header) = match user(&request) {
            Ok(user) => (200, ("cairn-set-x-user", user)),
            Err(why) => {
                eprintln!("refused: {why}");
                (401, ("www-authenticate", "Bearer error=\"invalid_token\"".to_owned()))
            }
        };
        let headers = Fields::new();
        let (name, value) = header;
        headers.set(name, &[value.into_bytes()]).expect("the header is allowed");
        let response = OutgoingResponse::new(headers);
        response.set_status_code(status).expect("it is a status");
        let body = response.body().expect("it is taken once");
        ResponseOutparam::set(out, Ok(response));
        OutgoingBody::finish(body, None).expect("the body is whole");
    }
}

fn user(request: &IncomingRequest) -> Result<String, &'static str> {
    let secret = std::env::var("SECRET").unwrap_or_default();
    if secret.len() < SECRET_BYTES_MIN {
        return Err("SECRET has less than 32 bytes");
    }
    let shown = request.headers().get("authorization");
    let [shown] = &shown[..] else { return Err("there is no token, or more than one") };
    let shown = std::str::from_utf8(shown).map_err(|_| "the token is no text")?;
    let token = shown.strip_prefix("Bearer ").ok_or("the token is no bearer's")?;
    let (signed, signature) = token.rsplit_once('.').ok_or("the token is no JWT")?;
    let (header, claims) = signed.split_once('.').ok_or("the token is no JWT")?;
    if json(header)?["alg"] != "HS256" {
        return Err("the token is not signed by HS256");
    }
    let signature = Base64UrlUnpadded::decode_vec(signature).map_err(|_| "no base64")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length is one");
    mac.update(signed.as_bytes());
    mac.verify_slice(&signature).map_err(|_| "the signature is wrong")?;
    let claims = json(claims)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if !claims["exp"].as_u64().is_some_and(|expires| expires > now) {
        return Err("the token has expired, or never does");
    }
    let user = claims["sub"].as_str().ok_or("the token is about nobody")?;
    let plain = user.bytes().all(|byte| byte.is_ascii_graphic());
    if plain && !user.is_empty() { Ok(user.to_owned()) } else { Err("the name is no header") }
}

fn json(part: &str) -> Result<Value, &'static str> {
    let bytes = Base64UrlUnpadded::decode_vec(part).map_err(|_| "no base64")?;
    serde_json::from_slice(&bytes).map_err(|_| "no JSON")
}
