//! Users, certificates and identity providers of a node.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use cairn_http::api::{AddCertificate, SetProvider};
use zeroize::Zeroizing;

use crate::cli;
use crate::command::access::{known, removed};
use crate::context::{Context, read_line};
use crate::exit::Usage;
use crate::output::{self, shown, time};

const NS_PER_MS: i64 = 1_000_000;

/// A password: from a file, or asked for on the terminal.
pub(crate) fn password(file: Option<&Path>, prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    match file {
        Some(file) if file == Path::new("-") => {
            let mut text = Zeroizing::new(String::new());
            std::io::stdin()
                .take(4096)
                .read_to_string(&mut text)
                .context("reading the password")?;
            Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
        }
        Some(file) => Ok(Zeroizing::new(read_line(file)?)),
        None => {
            let asked = rpassword::prompt_password(format!("{prompt}: "));
            let unasked = "there is no terminal to ask for the password on; use --password-file";
            asked.map(Zeroizing::new).map_err(|_| Usage(unasked.to_owned()).into())
        }
    }
}

/// A password to set: typed twice, when it is typed.
fn new_password(file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    let first = password(file, "new password")?;
    if file.is_none() && *password(None, "once more")? != *first {
        return Err(Usage("the two passwords differ".to_owned()).into());
    }
    Ok(first)
}

pub(crate) async fn user(context: &Context, args: &cli::User) -> anyhow::Result<()> {
    let node = context.node()?;
    match args {
        cli::User::Add { name, groups, password_file } => {
            let password = new_password(password_file.as_deref())?;
            known(&node, name).await?;
            if !groups.is_empty() {
                node.set_groups(name, groups).await?;
            }
            node.set_password(name, Some(password.to_string())).await?;
            changed(context, name, "can log in with the password")
        }
        cli::User::Ls => {
            for principal in node.principals().await?.principals {
                if context.global.json {
                    output::json(&principal)?;
                    continue;
                }
                let password = if principal.has_password { "password" } else { "-" };
                let groups = principal.groups.join(" ");
                output::line(&format!("{:<24} {password:<9} {groups}", shown(&principal.name)))?;
            }
            Ok(())
        }
        cli::User::Password { name: None, password_file, current_password_file, .. } => {
            let current = password(current_password_file.as_deref(), "current password")?;
            let new = new_password(password_file.as_deref())?;
            node.change_password(current.to_string(), new.to_string()).await?;
            changed(context, "you", "have a new password; log in again")
        }
        cli::User::Password { name: Some(name), remove: true, .. } => {
            node.set_password(name, None).await?;
            changed(context, name, "has no password any more")
        }
        cli::User::Password { name: Some(name), password_file, .. } => {
            let new = new_password(password_file.as_deref())?;
            node.set_password(name, Some(new.to_string())).await?;
            changed(context, name, "has a new password")
        }
        cli::User::Groups { name, groups } => {
            node.set_groups(name, groups).await?;
            changed(context, name, &format!("is in {} groups", groups.len()))
        }
        cli::User::Rm { name } => {
            node.remove_principal(name).await?;
            removed(context, name)
        }
    }
}

fn changed(context: &Context, name: &str, what: &str) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(&serde_json::json!({"changed": name}));
    }
    output::line(&format!("{} {what}", shown(name)))
}

pub(crate) async fn cert(context: &Context, args: &cli::Cert) -> anyhow::Result<()> {
    let node = context.node()?;
    let show = |certificate: &cairn_http::api::CertificateBody| {
        if context.global.json {
            return output::json(certificate);
        }
        let until = time(certificate.expires_ms.saturating_mul(NS_PER_MS));
        let (principal, label) = (shown(&certificate.principal), shown(&certificate.label));
        output::line(&format!(
            "{} {principal:<16} {label:<16} until {until}",
            certificate.fingerprint
        ))
    };
    match args {
        cli::Cert::Add { principal, file, label } => {
            let certificate = std::fs::read_to_string(file)
                .with_context(|| format!("reading {}", file.display()))?;
            // The key stays here when both are in one file.
            let certificate = only_certificates(&certificate);
            known(&node, principal).await?;
            let (principal, label) = (principal.clone(), label.clone());
            show(&node.add_certificate(&AddCertificate { principal, label, certificate }).await?)
        }
        cli::Cert::Ls => node.certificates().await?.certificates.iter().try_for_each(show),
        cli::Cert::Rm { fingerprint } => {
            let fingerprint = fingerprint.replace(':', "").to_ascii_lowercase();
            node.remove_certificate(&fingerprint).await?;
            removed(context, &fingerprint)
        }
    }
}

/// The certificates of a PEM text, and nothing else of it.
fn only_certificates(text: &str) -> String {
    let (mut kept, mut inside) = (String::new(), false);
    for line in text.lines() {
        inside |= line.starts_with("-----BEGIN CERTIFICATE-----");
        if inside {
            kept.push_str(line);
            kept.push('\n');
        }
        inside &= !line.starts_with("-----END CERTIFICATE-----");
    }
    kept
}

pub(crate) async fn idp(context: &Context, args: &cli::Idp) -> anyhow::Result<()> {
    let node = context.node()?;
    let show = |provider: &cairn_http::api::ProviderBody| {
        if context.global.json {
            return output::json(provider);
        }
        let secret = if provider.has_secret { "with a secret" } else { "public client" };
        let (name, claim) = (shown(&provider.name), shown(&provider.user_claim));
        let (issuer, client) = (shown(&provider.issuer), shown(&provider.client_id));
        output::line(&format!("{name:<12} {issuer} as {client} ({secret}), users by {claim}"))
    };
    match args {
        cli::Idp::Add(add) => {
            let secret = add.client_secret_file.as_deref().map(read_line).transpose()?;
            let set = SetProvider {
                issuer: add.issuer.clone(),
                client_id: add.client_id.clone(),
                client_secret: secret,
                scopes: (!add.scopes.is_empty()).then(|| add.scopes.clone()),
                user_claim: Some(add.user_claim.clone()),
                groups_claim: Some(add.groups_claim.clone()),
                audiences: add.audiences.clone(),
            };
            show(&node.set_provider(&add.name, &set).await?)
        }
        cli::Idp::Ls => node.providers().await?.providers.iter().try_for_each(show),
        cli::Idp::Rm { name } => {
            node.remove_provider(name).await?;
            removed(context, name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_beside_a_certificate_stays_here() {
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let key = "-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n";
        assert_eq!(only_certificates(&format!("{key}{certificate}x\n{key}")), certificate);
        assert_eq!(only_certificates(key), "");
    }
}
