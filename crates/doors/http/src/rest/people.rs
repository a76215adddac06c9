//! Passwords, groups, certificates and identity providers.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use axum::response::Response;
use cairn_access::{
    Certificate, ClientSecret, Fingerprint, GroupName, Password, PrincipalName, Provider,
    ProviderName,
};

use super::access::manage;
use super::maintenance::told;
use super::route;
use crate::api::{
    AddCertificate, CertificateBody, Certificates, ChangePassword, ProviderBody, Providers,
    SetGroups, SetPassword, SetProvider,
};
use crate::call::{Call, changed, json, no_content};
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc, shape};
use crate::route::{Permission, Route};

pub(super) fn routes() -> Vec<Route> {
    account_routes().into_iter().chain(certificate_routes()).chain(provider_routes()).collect()
}

fn account_routes() -> Vec<Route> {
    let doc = Doc { group: "access", status: 204, ..Doc::default() };
    vec![
        manage(
            route!(PUT "/api/v1/access/principals/{id}/password", set_password),
            Doc {
                summary: "Sets a principal's password, or takes it away, and ends its sessions.",
                takes: BodyDoc::Json(shape::<SetPassword>),
                ..doc
            },
        ),
        manage(
            route!(PUT "/api/v1/access/principals/{id}/groups", set_groups),
            Doc {
                summary: "Sets the groups of this cluster that a principal is in.",
                takes: BodyDoc::Json(shape::<SetGroups>),
                ..doc
            },
        ),
        route!(PUT "/api/v1/access/password", change_password)
            .permission(Permission::SignedIn)
            .doc(Doc {
                summary: "Changes the caller's own password and ends its sessions.",
                takes: BodyDoc::Json(shape::<ChangePassword>),
                ..doc
            }),
    ]
}

fn certificate_routes() -> Vec<Route> {
    let doc = Doc::default();
    let all = "/api/v1/access/certificates";
    vec![
        manage(
            route!(GET all, list_certificates),
            Doc {
                summary: "All client certificates that stand for somebody.",
                answers: BodyDoc::Json(shape::<Certificates>),
                ..doc
            },
        ),
        manage(
            route!(POST all, add_certificate),
            Doc {
                summary: "Registers a client certificate for a principal.",
                takes: BodyDoc::Json(shape::<AddCertificate>),
                answers: BodyDoc::Json(shape::<CertificateBody>),
                status: 201,
                ..doc
            },
        ),
        manage(
            route!(DELETE "/api/v1/access/certificates/{id}", remove_certificate),
            Doc { summary: "Takes a client certificate back.", status: 204, ..doc },
        ),
    ]
}

fn provider_routes() -> Vec<Route> {
    let doc = Doc::default();
    let one = "/api/v1/access/providers/{id}";
    vec![
        manage(
            route!(GET "/api/v1/access/providers", list_providers),
            Doc {
                summary: "All identity providers, without the clients' secrets.",
                answers: BodyDoc::Json(shape::<Providers>),
                ..doc
            },
        ),
        manage(
            route!(PUT one, set_provider),
            Doc {
                summary: "Adds an identity provider, or changes the one of that name.",
                takes: BodyDoc::Json(shape::<SetProvider>),
                answers: BodyDoc::Json(shape::<ProviderBody>),
                ..doc
            },
        ),
        manage(
            route!(DELETE one, remove_provider),
            Doc {
                summary: "Removes an identity provider and ends the sessions of its users.",
                status: 204,
                ..doc
            },
        ),
    ]
}

async fn set_password(mut call: Call) -> Result<Response, Error> {
    let name: PrincipalName = call.args.id()?.parse()?;
    let asked: SetPassword = call.json().await?;
    let password = asked.password.map(Password::chosen).transpose()?;
    let done = if password.is_some() { "set" } else { "took away" };
    let what = format!("{done} the password of {name} and ended its sessions");
    let access = call.door.access().clone();
    call.to_its_end(async move { access.set_password(&name, password).await }).await??;
    Ok(changed(no_content(), what))
}

async fn change_password(mut call: Call) -> Result<Response, Error> {
    let owner = call.caller().owner().and_then(|owner| owner.principal()).cloned();
    let name = owner.ok_or_else(|| {
        Error::invalid("your password is kept by your identity provider; change it there")
    })?;
    let asked: ChangePassword = call.json().await?;
    let password = Password::chosen(asked.new)?;
    let (access, origin) = (call.door.access().clone(), call.origin.clone());
    let work = async move {
        access.check_own_password(name.as_str(), Password::shown(asked.current), &origin).await?;
        access.set_password(&name, Some(password)).await
    };
    call.to_its_end(work).await??;
    Ok(changed(no_content(), "set its own password and ended its sessions"))
}

async fn set_groups(mut call: Call) -> Result<Response, Error> {
    let name: PrincipalName = call.args.id()?.parse()?;
    let asked: SetGroups = call.json().await?;
    let groups = asked.groups.iter().map(|group| group.parse::<GroupName>());
    let groups = groups.collect::<Result<BTreeSet<_>, _>>()?;
    let what = match groups.iter().map(GroupName::as_str).collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => format!("{name} is in no group"),
        all => format!("{name} is in {all}"),
    };
    let access = call.door.access().clone();
    call.to_its_end(async move { access.set_groups(&name, &groups).await }).await??;
    Ok(changed(no_content(), what))
}

async fn list_certificates(call: Call) -> Result<Response, Error> {
    let all: Vec<_> = call.snapshot()?.certificates().cloned().collect();
    json(StatusCode::OK, &Certificates { certificates: told(&all)? })
}

async fn add_certificate(mut call: Call) -> Result<Response, Error> {
    let asked: AddCertificate = call.json().await?;
    let read = cairn_mesh::certificate::read_pem(asked.certificate.as_bytes());
    let read = read.map_err(|error| Error::invalid(error.to_string()))?;
    let certificate = Certificate {
        fingerprint: Fingerprint(read.sha256),
        principal: asked.principal.parse()?,
        label: asked.label.parse()?,
        created_ms: 0,
        expires_ms: read.not_after_ms,
    };
    let access = call.door.access().clone();
    let work = async move { access.add_certificate(certificate).await };
    let made = call.to_its_end(work).await??;
    let what = format!("certificate {} is {}'s", made.fingerprint, made.principal);
    Ok(changed(json(StatusCode::CREATED, &told::<_, CertificateBody>(&made)?)?, what))
}

async fn remove_certificate(call: Call) -> Result<Response, Error> {
    let (access, id) = (call.door.access().clone(), call.args.id()?.parse::<Fingerprint>()?);
    let what = format!("removed certificate {id}");
    call.to_its_end(async move { access.remove_certificate(&id).await }).await??;
    Ok(changed(no_content(), what))
}

fn body(provider: &Provider) -> ProviderBody {
    ProviderBody {
        name: provider.name.to_string(),
        issuer: provider.issuer.clone(),
        client_id: provider.client_id.clone(),
        has_secret: provider.client_secret.is_some(),
        scopes: provider.scopes.clone(),
        user_claim: provider.user_claim.clone(),
        groups_claim: provider.groups_claim.clone(),
        audiences: provider.audiences.clone(),
        created_ms: provider.created_ms,
    }
}

async fn list_providers(call: Call) -> Result<Response, Error> {
    let providers = call.snapshot()?.providers().map(body).collect();
    json(StatusCode::OK, &Providers { providers })
}

async fn set_provider(mut call: Call) -> Result<Response, Error> {
    let name: ProviderName = call.args.id()?.parse()?;
    let asked: SetProvider = call.json().await?;
    let scopes = ["openid", "profile", "email"].map(str::to_owned).to_vec();
    let provider = Provider {
        name,
        issuer: asked.issuer.trim_end_matches('/').to_owned(),
        client_id: asked.client_id,
        client_secret: asked.client_secret.map(ClientSecret::new),
        scopes: asked.scopes.unwrap_or(scopes),
        user_claim: asked.user_claim.unwrap_or_else(|| "email".to_owned()),
        groups_claim: asked.groups_claim.unwrap_or_else(|| "groups".to_owned()),
        audiences: asked.audiences,
        created_ms: 0,
    };
    let access = call.door.access().clone();
    let set = call.to_its_end(async move { access.set_provider(provider).await }).await??;
    let what =
        format!("identity provider {} is {} with client {}", set.name, set.issuer, set.client_id);
    Ok(changed(json(StatusCode::OK, &body(&set))?, what))
}

async fn remove_provider(call: Call) -> Result<Response, Error> {
    let (access, id) = (call.door.access().clone(), call.args.id()?.parse::<ProviderName>()?);
    let what = format!("removed identity provider {id} and ended the sessions of its users");
    call.to_its_end(async move { access.remove_provider(&id).await }).await??;
    Ok(changed(no_content(), what))
}
