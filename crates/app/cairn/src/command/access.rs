//! Tokens and grants of a node, and what they come to.

use cairn_base::ErrorKind;
use cairn_datasets::Error;
use cairn_http::api::{
    CreateToken, Explain, GrantBody, NamedGrant, ScopeBody, ScopesBody, TokenBody, WhoAmIBody,
};
use cairn_http::client::Node;

use crate::cli;
use crate::context::Context;
use crate::exit::Usage;
use crate::output::{self, shown, time};

const NS_PER_MS: i64 = 1_000_000;

pub(crate) async fn token(context: &Context, args: &cli::Token) -> anyhow::Result<()> {
    if matches!(args, cli::Token::Recover) {
        return recover(context).await;
    }
    let node = context.node()?;
    match args {
        cli::Token::Recover => Ok(()),
        cli::Token::Create { principal, label, only, expires } => {
            let only = only.iter().map(|text| scope(text)).collect::<anyhow::Result<Vec<_>>>()?;
            let expires_in_seconds = expires.as_deref().map(output::age).transpose()?;
            let scopes = (!only.is_empty()).then_some(ScopesBody::Only(only));
            let (name, label) = (principal.clone(), label.clone());
            let token = CreateToken { principal: name, label, scopes, expires_in_seconds };
            let made = for_known(&node, principal, || node.create_token(&token)).await?;
            if context.global.json {
                return output::json(&made);
            }
            output::line(&made.token)?;
            output::note(&format!("token {} is shown once; it is kept as a hash", made.info.id));
            Ok(())
        }
        cli::Token::Ls => {
            for token in node.tokens().await?.tokens {
                show_token(context, &token)?;
            }
            Ok(())
        }
        cli::Token::Rm { id } => {
            node.revoke_token(id).await?;
            removed(context, id)
        }
    }
}

async fn recover(context: &Context) -> anyhow::Result<()> {
    let datasets = context.datasets(false).await?;
    let made = cairn_node::recover(&datasets, &context.env).await?;
    let (id, token) = (made.info.id.to_string(), made.token.expose());
    if context.global.json {
        let info = serde_json::json!({"id": id, "label": "root", "principal": "root"});
        return output::json(&serde_json::json!({"info": info, "token": token}));
    }
    output::line(token)?;
    output::note(&format!("token {id} of root is shown once; it is kept as a hash"));
    Ok(())
}

fn show_token(context: &Context, token: &TokenBody) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(token);
    }
    let scopes = match &token.scopes {
        ScopesBody::All => "all grants".to_owned(),
        ScopesBody::Only(scopes) => {
            let each = scopes.iter().map(|scope| format!("{}:{}", scope.role, scope.pattern));
            each.collect::<Vec<_>>().join(" ")
        }
    };
    let expires = match token.expires_ms {
        Some(at) => format!("until {}", time(at.saturating_mul(NS_PER_MS))),
        None => "no end".to_owned(),
    };
    output::line(&format!(
        "{:<20} {:<16} {:<16} {expires:<29} {scopes}",
        token.id,
        shown(&token.principal),
        shown(&token.label)
    ))
}

pub(crate) async fn grant(context: &Context, args: &cli::Grant) -> anyhow::Result<()> {
    let node = context.node()?;
    match args {
        cli::Grant::Add { subject, role, pattern } => {
            let (role, pattern) = (role.clone(), scoped(pattern));
            let grant = GrantBody { subject: subject.clone(), role, pattern };
            let made = for_known(&node, subject, || node.add_grant(&grant)).await?;
            show_grant(context, &made)
        }
        cli::Grant::Ls => {
            for grant in node.grants().await?.grants {
                show_grant(context, &grant)?;
            }
            Ok(())
        }
        cli::Grant::Rm { id } => {
            node.remove_grant(id).await?;
            removed(context, id)
        }
    }
}

fn show_grant(context: &Context, named: &NamedGrant) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(named);
    }
    let GrantBody { subject, role, pattern } = &named.grant;
    output::line(&format!("{:<20} {subject:<16} {role:<7} {pattern}", named.id))
}

pub(crate) fn removed(context: &Context, id: &str) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(&serde_json::json!({"removed": id}));
    }
    output::line(&format!("removed {id}"))
}

pub(crate) async fn whoami(context: &Context) -> anyhow::Result<()> {
    let who: WhoAmIBody = context.node()?.whoami().await?;
    if context.global.json {
        return output::json(&who);
    }
    output::line(&shown(who.principal.as_deref().unwrap_or("anonymous")))?;
    if !who.groups.is_empty() {
        output::line(&format!("in {}", shown(&who.groups.join(" "))))?;
    }
    if let Some(token) = &who.token {
        show_token(context, token)?;
    }
    for GrantBody { subject, role, pattern } in &who.grants {
        output::line(&format!("{role:<7} on {pattern} ({subject})"))?;
    }
    Ok(())
}

pub(crate) async fn access(context: &Context, args: &cli::AccessCommand) -> anyhow::Result<()> {
    let cli::AccessCommand::Explain { principal, action, resource } = args;
    let (subject, action, resource) = (principal.clone(), action.clone(), resource.clone());
    let explained = context.node()?.explain(&Explain { subject, action, resource }).await?;
    if context.global.json {
        return output::json(&explained);
    }
    match (&explained.by, &explained.reason) {
        (Some(by), _) => output::line(&format!("allowed by grant {by}"))?,
        (None, reason) => {
            output::line(&format!(
                "denied: {}",
                reason.as_deref().unwrap_or("no grant allows it")
            ))?;
        }
    }
    output::line(&format!("it takes {}", explained.needs))?;
    for judged in &explained.grants {
        let grant = &judged.grant;
        let verdict = judged.verdict.replace('_', " ");
        let (subject, pattern) = (shown(&grant.subject), shown(&grant.pattern));
        output::line(&format!("{verdict:<15} {subject} is {} on {pattern}", grant.role))?;
    }
    Ok(())
}

/// Asks for something about a principal, which is made when there is none of that name. Who may not
/// make one is told that there is none.
async fn for_known<T, W>(node: &Node, name: &str, ask: impl Fn() -> W) -> anyhow::Result<T>
where
    W: Future<Output = Result<T, Error>>,
{
    let missing = match ask().await {
        Err(error) if error.kind() == ErrorKind::NotFound && !name.contains(['/', ':']) => error,
        answered => return Ok(answered?),
    };
    match node.create_principal(name).await {
        Err(error) if error.kind() == ErrorKind::Denied => Err(missing.into()),
        Err(error) if error.kind() != ErrorKind::Conflict => Err(error.into()),
        _ => Ok(ask().await?),
    }
}

/// Makes a principal when there is none of that name.
pub(crate) async fn known(node: &Node, name: &str) -> anyhow::Result<()> {
    let principals = node.principals().await?.principals;
    if !principals.iter().any(|principal| principal.name == name) {
        node.create_principal(name).await?;
    }
    Ok(())
}

/// A pattern without a project is of `main`.
fn scoped(pattern: &str) -> String {
    if pattern.starts_with('@') { pattern.to_owned() } else { format!("@main/{pattern}") }
}

/// `ROLE:PATTERN`.
fn scope(text: &str) -> anyhow::Result<ScopeBody> {
    let (role, pattern) = text.split_once(':').ok_or_else(|| {
        Usage(format!("{text:?} is no scope; write ROLE:PATTERN, as reader:photos*"))
    })?;
    Ok(ScopeBody { role: role.to_owned(), pattern: scoped(pattern) })
}
