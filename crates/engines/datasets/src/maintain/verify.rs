//! Verification: every byte of the bucket, and every version.

use std::sync::Arc;

use cairn_base::{ErrorKind, ProjectName};
use cairn_blocks::{Damage, EnvelopeKind, Finding, VerifyReport, Want};
use cairn_chunk::{ChunkId, ChunkKey};
use futures::TryStreamExt as _;
use serde::Serialize;

use crate::error::Error;
use crate::local::Datasets;
use crate::pins;

/// Small objects that nothing else of a verification reads, and what to do about a damaged one.
const ENVELOPES: [(EnvelopeKind, &str, &str); 2] = [
    (EnvelopeKind::Settings, "settings", "`cairn retain` with new rules replaces it"),
    (
        EnvelopeKind::Access,
        "access",
        "delete it, and the next start of a node makes a new root token; all others are lost",
    ),
];

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Versions whose manifests were walked.
    pub versions: u64,
    /// Chunks that they reach, each counted once a version.
    pub references: u64,
    /// The block store's part, with what is wrong.
    #[serde(flatten)]
    pub blocks: VerifyReport,
}

impl Datasets {
    /// Reads every byte of the bucket back, and walks every version.
    ///
    /// # Errors
    /// Only when the bucket itself fails; damage is in the report.
    pub async fn verify(
        &self,
        progress: Arc<dyn Fn(u64) + Send + Sync>,
    ) -> Result<Verified, Error> {
        let states = self.refs.checked().await?;
        let mut projects: Vec<ProjectName> =
            states.iter().map(|(target, _)| target.dataset.project.clone()).collect();
        let pins = self.pin_roots().await?;
        projects.extend(pins.iter().map(|(of, _, _)| of.project.clone()));
        projects.push(ProjectName::default());
        projects.sort();
        projects.dedup();
        let keys: Vec<ChunkKey> = projects.iter().map(|project| self.key(project)).collect();
        let blocks = self.blocks.verify(&keys, &progress).await?;
        let damage = blocks.damage.clone();
        let mut verified = Verified { blocks, ..Verified::default() };
        for (kind, prefix, advice) in ENVELOPES {
            self.verify_envelopes(kind, prefix, advice, &mut verified).await?;
        }
        for (target, state) in states {
            let state = match state {
                Ok(state) => state,
                Err(finding) => {
                    verified.blocks.found(finding);
                    continue;
                }
            };
            for version in state.current.iter().chain(&state.history) {
                verified.versions += 1;
                let object = format!("version {} of {target}", version.root);
                let project = &target.dataset.project;
                self.verify_root(object, project, version.root, &damage, &mut verified).await?;
            }
        }
        for (of, id, root) in pins {
            let object = pins::shown(&of, id);
            match root {
                Ok(root) => {
                    self.verify_root(object, &of.project, root, &damage, &mut verified).await?;
                }
                Err(error) => {
                    let finding = error.into_finding(&object)?;
                    let detail =
                        format!("{}; a large value of a key of {of} is lost", finding.detail);
                    verified.blocks.found(Finding { detail, ..finding });
                }
            }
        }
        Ok(verified)
    }

    async fn verify_root(
        &self,
        object: String,
        project: &ProjectName,
        root: ChunkId,
        damage: &Damage,
        verified: &mut Verified,
    ) -> Result<(), Error> {
        let walk = match self.walk(project, root, &[], Want::Any, damage).await {
            Ok(walk) => walk,
            Err(error) => {
                verified.blocks.found(Finding { chunks: 1, ..error.into_finding(&object)? });
                return Ok(());
            }
        };
        verified.references += walk.references;
        let mut found = |chunks: u64, detail: String| {
            if chunks > 0 {
                let object = object.clone();
                verified.blocks.found(Finding { object, offset: 0, detail, chunks });
            }
        };
        let first = walk.first_missing.map(|id| id.to_string()).unwrap_or_default();
        found(walk.missing, format!("{} chunks are missing, the first is {first}", walk.missing));
        found(walk.damaged, format!("{} chunks are damaged", walk.damaged));
        Ok(())
    }

    /// Opens the small objects below `prefix`.
    async fn verify_envelopes(
        &self,
        kind: EnvelopeKind,
        prefix: &str,
        advice: &str,
        verified: &mut Verified,
    ) -> Result<(), Error> {
        let (bucket, sealer) = (self.blocks.bucket(), self.blocks.sealer());
        let mut heads = bucket.list(prefix);
        while let Some(head) = heads.try_next().await? {
            let opened = match bucket.get(&head.key).await {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => Err(error.into()),
                Ok(object) => sealer.unwrap(kind, &head.key, &object.bytes).map_err(Error::from),
            };
            if let Err(error) = opened {
                let finding = error.into_finding(&head.key)?;
                let detail = format!("{}; {advice}", finding.detail);
                verified.blocks.found(Finding { detail, ..finding });
            }
        }
        Ok(())
    }
}
