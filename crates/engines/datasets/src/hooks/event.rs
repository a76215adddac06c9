//! What a receiver is told: `{"type", "timestamp", "data"}`, as Standard Webhooks has it.

use cairn_env::Env;
use serde::Serialize;

use super::{HookState, Parcel, hex};
use crate::follow::state_id;
use crate::model::{Dataset, Version};

#[derive(Serialize)]
struct Event<'a> {
    r#type: &'static str,
    /// When the tag moved, by RFC 3339.
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    project: &'a str,
    dataset: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    /// The state's id, as followers know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a Version>,
}

/// One move of a tag that is to be told.
pub(super) struct Move {
    pub(super) tag: String,
    /// The state before, as the receiver knows it.
    pub(super) before: String,
    pub(super) now: Option<Version>,
    pub(super) time_ns: i64,
}

impl Move {
    /// The parcel of this move. Its id follows from the hook and the move.
    pub(super) fn parcel(&self, dataset: &Dataset, state: &HookState) -> Parcel {
        let id = state_id(self.now.as_ref());
        let mut hasher = blake3::Hasher::new_derive_key("cairn 2026-11 webhook event id");
        for part in [&state.hook.id, &self.tag, &self.before, &id] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        let event = Event {
            r#type: if self.now.is_some() { "tag.moved" } else { "tag.removed" },
            timestamp: rfc3339(self.time_ns),
            data: Data {
                project: dataset.project.as_str(),
                dataset: dataset.name.as_str(),
                tag: Some(&self.tag),
                id: Some(id),
                version: self.now.as_ref(),
            },
        };
        let id = format!("evt_{}", hex(&hasher.finalize().as_bytes()[..16]));
        parcel(dataset, id, &event, state)
    }
}

/// An event that only says that the way is open.
pub(super) fn test(dataset: &Dataset, state: &HookState, env: &Env) -> Parcel {
    let (project, name) = (dataset.project.as_str(), dataset.name.as_str());
    let data = Data { project, dataset: name, tag: None, id: None, version: None };
    let event = Event { r#type: "test", timestamp: rfc3339(env.clock.wall_ns()), data };
    let mut random = [0; 16];
    env.rng.fill(&mut random);
    parcel(dataset, format!("evt_{}", hex(&random)), &event, state)
}

fn parcel(dataset: &Dataset, id: String, event: &Event<'_>, state: &HookState) -> Parcel {
    let body = serde_json::to_vec(event).expect("events are plain data");
    let (project, url) = (dataset.project.clone(), state.hook.url.clone());
    Parcel { project, url, id, body: body.into(), secret: state.secret() }
}

fn rfc3339(time_ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(time_ns))
        .map_or_else(|_| String::new(), |t| t.to_string())
}
