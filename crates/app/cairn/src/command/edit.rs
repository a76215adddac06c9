//! Single files of a version, changed without the rest at hand: `put`, and `rm` of a path.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use cairn_base::Reference;
use cairn_datasets::{
    EDIT_WRITE_BYTES_MAX, EditId, EditPublication, Edits, Expect, FileWrite, Version,
};
use cairn_http::api::PublishEdit;
use cairn_http::client::{FilePart, Node, NodeEdit};
use cairn_tree::Time;

use crate::cli;
use crate::command::transfer::publisher;
use crate::context::{Context, target};
use crate::exit::Usage;
use crate::output;

/// Bytes that are sent to a node at a time.
const PART_BYTES: usize = 16 * 1024 * 1024;

/// An edit in this process, or of a node.
enum Edit {
    Here(Edits, EditId),
    Node(NodeEdit),
}

/// What is said of a file with each part of it.
struct Told {
    path: Vec<String>,
    size: u64,
    mtime: Time,
    executable: bool,
}

pub(crate) async fn put(context: &Context, args: &cli::Put) -> anyhow::Result<()> {
    let to: Reference = args.to.parse()?;
    let edit = Edit::begin(context, &to, true).await?;
    let work = async {
        for file in &args.files {
            edit.put(&to.path, file).await?;
        }
        edit.publish(args.message.clone()).await
    };
    let version = edit.or_abandon(Box::pin(work).await).await?;
    if context.global.json {
        return output::json(&version);
    }
    let (count, to) = (args.files.len(), target(&to));
    let root = version.root.to_string();
    output::line(&format!("put {count} files; {to} is {}", &root[..16]))
}

/// Takes the path of a reference out of the version that its tag points to.
pub(crate) async fn remove(context: &Context, from: &Reference) -> anyhow::Result<()> {
    let edit = Edit::begin(context, from, false).await?;
    let work = async {
        edit.remove(&from.path).await?;
        edit.publish(None).await
    };
    edit.or_abandon(Box::pin(work).await).await?;
    let removed = format!("{}/{}", target(from), from.path.join("/"));
    if context.global.json {
        return output::json(&serde_json::json!({"removed": removed}));
    }
    output::line(&format!("removed {}", output::shown(&removed)))
}

impl Edit {
    async fn begin(context: &Context, to: &Reference, prepare: bool) -> anyhow::Result<Self> {
        let node = async |node: Node| Ok(Self::Node(node.begin_edit(&target(to)).await?));
        match context.edited(to, prepare).await? {
            Ok(there) => node(there).await,
            Err(datasets) => {
                let edits = Edits::new(datasets);
                let id = edits.begin(&target(to), &publisher()).await?;
                Ok(Self::Here(edits, id))
            }
        }
    }

    async fn put(&self, into: &[String], file: &Path) -> anyhow::Result<()> {
        let failed = || format!("reading {}", file.display());
        let name = file.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            Usage(format!("{} has no name that is UTF-8; push its directory", file.display()))
        })?;
        let mut open = File::open(file).with_context(failed)?;
        let stat = open.metadata().with_context(failed)?;
        if !stat.is_file() {
            let what = format!("{} is no file; `cairn push` takes directories", file.display());
            return Err(Usage(what).into());
        }
        let nanos = u32::try_from(stat.mtime_nsec()).unwrap_or_default();
        let told = Told {
            path: into.iter().cloned().chain([name.to_owned()]).collect(),
            size: stat.size(),
            mtime: Time { secs: stat.mtime(), nanos },
            executable: stat.mode() & 0o111 != 0,
        };
        let most = match self {
            Self::Here(..) => EDIT_WRITE_BYTES_MAX,
            Self::Node(_) => PART_BYTES,
        };
        let mut offset = 0;
        loop {
            let mut bytes = Vec::new();
            let left = (told.size - offset).min(most as u64);
            (&mut open).take(left).read_to_end(&mut bytes).with_context(failed)?;
            if (bytes.len() as u64) < left {
                anyhow::bail!("{} became shorter while it was read; put it again", file.display());
            }
            self.part(&told, offset, bytes.into()).await?;
            offset += left;
            if offset == told.size {
                return Ok(());
            }
        }
    }

    async fn part(&self, told: &Told, offset: u64, bytes: Bytes) -> anyhow::Result<()> {
        let Told { path, size, mtime, executable } = told;
        let (size, executable) = (*size, *executable);
        match self {
            Self::Here(edits, id) => {
                let write = FileWrite {
                    path: names(path),
                    offset,
                    size,
                    mtime: Some(*mtime),
                    executable: Some(executable),
                };
                edits.write(*id, &publisher(), write, bytes).await?;
            }
            Self::Node(edit) => {
                let mtime = seconds(*mtime);
                edit.put(FilePart { path, offset, size, mtime: &mtime, executable }, bytes).await?;
            }
        }
        Ok(())
    }

    async fn remove(&self, path: &[String]) -> anyhow::Result<()> {
        match self {
            Self::Here(edits, id) => edits.remove(*id, &publisher(), names(path)).await?,
            Self::Node(edit) => edit.remove(path).await?,
        }
        Ok(())
    }

    async fn publish(&self, message: Option<String>) -> anyhow::Result<Version> {
        Ok(match self {
            Self::Here(edits, id) => {
                let asked = EditPublication { expect: Expect::Anything, message };
                edits.publish(*id, &publisher(), &asked).await?.version
            }
            Self::Node(edit) => edit.publish(&PublishEdit { expect: None, message }).await?,
        })
    }

    /// What came of the work; the edit is given up where it failed.
    async fn or_abandon<T>(&self, done: anyhow::Result<T>) -> anyhow::Result<T> {
        if done.is_err() {
            let ended = match self {
                Self::Here(edits, id) => edits.abandon(*id, &publisher()).await,
                Self::Node(edit) => edit.abandon().await,
            };
            // It would be forgotten anyway.
            if let Err(error) = ended {
                tracing::debug!(%error, "an edit could not be given up");
            }
        }
        done
    }
}

fn names(path: &[String]) -> Vec<Vec<u8>> {
    path.iter().map(|name| name.clone().into_bytes()).collect()
}

/// Seconds with a fraction that counts away from zero, as REST takes them.
fn seconds(time: Time) -> String {
    match (time.secs, time.nanos) {
        (secs, 0) => secs.to_string(),
        (secs @ 0.., nanos) => format!("{secs}.{nanos:09}"),
        (secs, nanos) => format!("-{}.{:09}", -(secs + 1), 1_000_000_000 - nanos),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_before_1970_count_backwards() {
        for (secs, nanos, text) in [
            (0, 0, "0"),
            (5, 1, "5.000000001"),
            (-2, 500_000_000, "-1.500000000"),
            (-1, 750_000_000, "-0.250000000"),
            (-3, 0, "-3"),
        ] {
            assert_eq!(seconds(Time { secs, nanos }), text);
        }
    }
}
