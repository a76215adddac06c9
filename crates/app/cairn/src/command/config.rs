use serde_json::Value;

use crate::config::Loaded;
use crate::context::Context;
use crate::output;

/// Every setting, its value, and where it comes from.
pub(crate) fn show(context: &Context, loaded: &Loaded, origin: bool) -> anyhow::Result<()> {
    let sections = serde_json::to_value(&loaded.config)?;
    for (section, values) in sections.as_object().into_iter().flatten() {
        for (key, value) in values.as_object().into_iter().flatten() {
            let name = format!("{section}.{key}");
            let from = loaded.origins.get(&name).map_or("default", String::as_str);
            if context.global.json {
                output::json(&serde_json::json!({"name": name, "value": value, "origin": from}))?;
                continue;
            }
            let value = match value {
                Value::Null => "(not set)".to_owned(),
                value => value.to_string(),
            };
            let from = if origin { format!("  # {from}") } else { String::new() };
            output::line(&format!("{name} = {value}{from}"))?;
        }
    }
    Ok(())
}
