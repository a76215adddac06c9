//! Verification: every byte of the bucket, and every version.

use std::sync::Arc;

use cairn_base::ProjectName;
use cairn_blocks::{Finding, VerifyReport};
use cairn_chunk::ChunkKey;
use serde::Serialize;

use crate::error::Error;
use crate::local::Datasets;
use crate::model::{Target, Version};

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
        let states = self.refs.all(None, None).await?;
        let mut projects: Vec<ProjectName> =
            states.iter().map(|(target, _)| target.dataset.project.clone()).collect();
        projects.push(ProjectName::default());
        projects.sort();
        projects.dedup();
        let keys: Vec<ChunkKey> = projects.iter().map(|project| self.key(project)).collect();
        let blocks = self.blocks.verify(&keys, &progress).await?;
        let damage = blocks.damage.clone();
        let mut verified = Verified { blocks, ..Verified::default() };
        for (target, state) in &states {
            let versions = state.current.iter().chain(&state.history);
            for version in versions {
                verified.versions += 1;
                let project = &target.dataset.project;
                let walked = self.walk(project, version.root, &[], &damage).await;
                match walked {
                    Ok(walk) => {
                        verified.references += walk.references;
                        if walk.missing > 0 {
                            let first = walk.first_missing;
                            let detail = format!("{} chunks are missing, {first:?}", walk.missing);
                            verified.blocks.found(finding(target, version, detail, walk.missing));
                        }
                        if walk.damaged > 0 {
                            let detail = format!("{} chunks are damaged", walk.damaged);
                            verified.blocks.found(finding(target, version, detail, walk.damaged));
                        }
                    }
                    Err(error) => {
                        let detail = error.to_string();
                        verified.blocks.found(finding(target, version, detail, 1));
                    }
                }
            }
        }
        Ok(verified)
    }
}

fn finding(target: &Target, version: &Version, detail: String, chunks: u64) -> Finding {
    let object = format!("version {} of {target}", version.root);
    Finding { object, offset: 0, detail, chunks }
}
