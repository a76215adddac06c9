//! Logging in to a node, and nodes that join.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use cairn_http::api::{Join, Opened};
use cairn_http::client::{DevicePolled, Node, Trust};
use cairn_mesh::JoinToken;

use crate::cli;
use crate::command::people::password;
use crate::context::{Context, Place};
use crate::exit::Usage;
use crate::output::{self, note, shown, time};
use crate::profile::{Profile, Profiles};

const NS_PER_MS: i64 = 1_000_000;

pub(crate) async fn login(context: &Context, args: &cli::Login) -> anyhow::Result<()> {
    let Place::Node { url, trust, .. } = context.place()? else {
        return Err(Usage("one logs in to a node: give --url or CAIRN_URL".to_owned()).into());
    };
    let node = Node::with_trust(&url, None, &trust, &context.env)?;
    let opened = match &args.user {
        Some(user) => {
            let password = password(args.password_file.as_deref(), "password")?;
            node.login(user, &password).await?
        }
        None => by_provider(context, &node, args.idp.as_deref()).await?,
    };
    let named = args.save_as.clone().or_else(|| context.global.profile.clone());
    let name = named.unwrap_or_else(|| "default".to_owned());
    keep(context, &name, url, &opened)?;
    if context.global.json {
        return output::json(&serde_json::json!({
            "profile": name, "principal": opened.principal, "expires_ms": opened.expires_ms,
        }));
    }
    let until = time(opened.expires_ms.saturating_mul(NS_PER_MS));
    output::line(&format!("logged in as {} until {until}", shown(&opened.principal)))?;
    note(&format!("the session is kept in the profile {name}"));
    Ok(())
}

/// Puts the session into a profile.
fn keep(context: &Context, name: &str, url: String, opened: &Opened) -> anyhow::Result<()> {
    let mut profiles = Profiles::load()?;
    let kept = profiles.profile.get(name).cloned().unwrap_or_default();
    let absolute = |file: &Option<_>| file.as_ref().map(std::path::absolute).transpose();
    let profile = Profile {
        url: Some(url),
        token: Some(opened.token.clone()),
        bucket: None,
        ca_file: absolute(&context.global.ca_file)?.or(kept.ca_file),
        client_cert: absolute(&context.global.client_cert)?.or(kept.client_cert),
    };
    profiles.profile.insert(name.to_owned(), profile);
    profiles.default.get_or_insert_with(|| name.to_owned());
    profiles.save()
}

async fn by_provider(
    context: &Context,
    node: &Node,
    asked: Option<&str>,
) -> anyhow::Result<Opened> {
    let ways = node.login_ways().await?;
    let names: Vec<&str> = ways.providers.iter().map(|provider| provider.name.as_str()).collect();
    let name = match (asked, names.as_slice()) {
        (Some(name), _) => name,
        (None, [name]) => name,
        (None, []) => {
            let none = "the node has no identity provider; log in with a password by --user NAME";
            return Err(Usage(none.to_owned()).into());
        }
        (None, several) => {
            let several = several.join(", ");
            return Err(Usage(format!("say by which provider with --idp: {several}")).into());
        }
    };
    let begun = node.begin_device(name).await?;
    match &begun.verification_uri_complete {
        Some(address) => note(&format!("open {}", shown(address))),
        None => note(&format!("open {}", shown(&begun.verification_uri))),
    }
    note(&format!("and see that it shows the code {}", shown(&begun.user_code)));
    let mut pause = Duration::from_secs(begun.interval_seconds.max(1));
    let began = context.env.clock.monotonic();
    let over = Duration::from_secs(begun.expires_in_seconds);
    while context.env.clock.monotonic().saturating_sub(began) < over {
        context.env.clock.sleep(pause).await;
        match node.poll_device(name, &begun.device_code).await? {
            DevicePolled::Opened(opened) => return Ok(opened),
            // RFC 8628, section 3.5.
            DevicePolled::Waits(waits) if waits.slow_down => pause += Duration::from_secs(5),
            DevicePolled::Waits(_) => {}
        }
    }
    Err(Usage("nobody logged in in time; try again".to_owned()).into())
}

pub(crate) async fn logout(context: &Context, args: &cli::Logout) -> anyhow::Result<()> {
    let mut profiles = Profiles::load()?;
    let name = context.global.profile.clone().or_else(|| profiles.default.clone());
    let name = name.ok_or_else(|| Usage("there is no profile to log out of".to_owned()))?;
    profiles.choose(Some(&name))?;
    let node = context.node()?;
    let ended = if args.everywhere {
        // Sessions elsewhere stay when this fails, so the one at hand is kept to try again.
        Ok(Some(node.logout_everywhere().await?))
    } else {
        node.logout().await.map(|()| None)
    };
    if let Some(profile) = profiles.profile.get_mut(&name) {
        profile.token = None;
    }
    profiles.save()?;
    // The session may have ended by itself: it is gone from here either way.
    let ended = ended.unwrap_or_else(|error| {
        note(&format!("the node did not end the session: {error}"));
        None
    });
    if context.global.json {
        return match ended {
            Some(ended) => output::json(&serde_json::json!({"profile": name, "ended": ended})),
            None => output::json(&serde_json::json!({"profile": name})),
        };
    }
    if let Some(ended) = ended {
        output::line(&format!("ended {ended} sessions"))?;
    }
    output::line(&format!("logged out of the profile {name}"))
}

pub(crate) async fn cluster(context: &Context, args: &cli::Cluster) -> anyhow::Result<()> {
    match args {
        cli::Cluster::Ca { sha256 } => authority(context, sha256.as_deref()).await,
        cli::Cluster::JoinToken { expires } => {
            let made = context.node()?.make_join_token(output::age(expires)?).await?;
            if context.global.json {
                return output::json(&made);
            }
            output::line(&made.token)?;
            let until = time(made.expires_ms.saturating_mul(NS_PER_MS));
            note(&format!("shown once; one node can join with it until {until}"));
            Ok(())
        }
        cli::Cluster::Join { out, name, join_token_file } => {
            join(context, out, name.as_deref(), join_token_file).await
        }
        cli::Cluster::Nodes => {
            for node in context.node()?.cluster_nodes().await?.nodes {
                if context.global.json {
                    output::json(&node)?;
                    continue;
                }
                let until = time(node.expires_ms.saturating_mul(NS_PER_MS));
                output::line(&format!("{:<20} {:<16} until {until}", node.id, shown(&node.name)))?;
            }
            Ok(())
        }
    }
}

async fn authority(context: &Context, sha256: Option<&str>) -> anyhow::Result<()> {
    let pem = match (sha256, context.place()?) {
        (Some(text), Place::Node { url, .. }) => {
            let text = text.trim_start_matches("sha256:");
            let bad = |_| Usage("a SHA-256 has 64 hexadecimal digits".to_owned());
            let mut sha256 = [0; 32];
            hex::decode_to_slice(text, &mut sha256).map_err(bad)?;
            let trust = Trust::by_sha256(&url, sha256, &context.env).await?;
            String::from_utf8(trust.authority.unwrap_or_default())?
        }
        _ => context.node()?.authority().await?,
    };
    if context.global.json {
        let sha256 = cairn_mesh::certificate::read_pem(pem.as_bytes())?.sha256;
        return output::json(&serde_json::json!({"pem": pem, "sha256": hex::encode(sha256)}));
    }
    output::data(pem.as_bytes())
}

async fn join(
    context: &Context,
    out: &Path,
    name: Option<&str>,
    token_file: &Path,
) -> anyhow::Result<()> {
    let Place::Node { url, .. } = context.place()? else {
        return Err(Usage("one joins by a node: give --url or CAIRN_URL".to_owned()).into());
    };
    let token = crate::context::read_line(token_file)?;
    let sha256 = JoinToken::authority_of(&token).ok_or_else(|| {
        Usage("this is no join token; make one with `cairn cluster join-token`".to_owned())
    })?;
    let trust = Trust::by_sha256(&url, sha256, &context.env).await?;
    let node = Node::with_trust(&url, None, &trust, &context.env)?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = name.map_or(host, str::to_owned);
    let (key, request) = cairn_mesh::request()?;
    // The key is kept before the token is used up.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(out)?;
    write(&out.join("node.key"), key.as_bytes(), 0o600)?;
    let joined = node.join(&Join { token, name, request }).await?;
    write(&out.join("node.crt"), joined.chain.as_bytes(), 0o644)?;
    write(&out.join("ca.crt"), &trust.authority.unwrap_or_default(), 0o644)?;
    if context.global.json {
        return output::json(&joined.node);
    }
    output::line(&format!("joined as {}; see {}", joined.node.id, out.display()))
}

/// Writes a file whole and durably.
fn write(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let failed = || format!("writing {}", path.display());
    let mut options = std::fs::File::options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .with_context(failed)?;
    file.write_all(bytes).with_context(failed)?;
    file.sync_all().with_context(failed)
}
