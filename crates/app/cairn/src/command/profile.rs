use std::path::PathBuf;

use crate::cli;
use crate::context::Context;
use crate::exit::Usage;
use crate::output;
use crate::profile::{Profile, Profiles};

pub(crate) fn profile(context: &Context, args: &cli::Profile) -> anyhow::Result<()> {
    let mut profiles = Profiles::load()?;
    match args {
        cli::Profile::Set { name } => {
            let (url, bucket) = (context.global.url.clone(), context.global.bucket.clone());
            if url.is_none() && bucket.is_none() {
                return Err(Usage("give --url or --bucket for the profile".to_owned()).into());
            }
            let token = context.given_token()?;
            let absolute =
                |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
            let ca_file = absolute(&context.global.ca_file)?;
            let client_cert = absolute(&context.global.client_cert)?;
            let profile = Profile { url, token, bucket, ca_file, client_cert };
            profiles.profile.insert(name.clone(), profile);
            profiles.default.get_or_insert_with(|| name.clone());
            profiles.save()
        }
        cli::Profile::Use { name } => {
            profiles.choose(Some(name))?;
            profiles.default = Some(name.clone());
            profiles.save()
        }
        cli::Profile::Rm { name } => {
            profiles.choose(Some(name))?;
            profiles.profile.remove(name);
            profiles.default = profiles.default.filter(|default| default != name);
            profiles.save()
        }
        cli::Profile::Ls => list(context, &profiles),
    }
}

fn list(context: &Context, profiles: &Profiles) -> anyhow::Result<()> {
    for (name, profile) in &profiles.profile {
        let default = profiles.default.as_ref() == Some(name);
        let place = profile.url.as_ref().or(profile.bucket.as_ref());
        if context.global.json {
            output::json(&serde_json::json!({
                "name": name, "default": default, "url": profile.url, "bucket": profile.bucket,
                "has_token": profile.token.is_some(),
            }))?;
        } else {
            let sign = if default { '*' } else { ' ' };
            let token = if profile.token.is_some() { "  with a token" } else { "" };
            let place = place.map_or("", String::as_str);
            output::line(&format!("{sign} {name:<16} {place}{token}"))?;
        }
    }
    Ok(())
}
