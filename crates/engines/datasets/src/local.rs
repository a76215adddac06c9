use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_base::{ErrorKind, ProjectName};
use cairn_blocks::{Blocks, Frame, Options, Secret, Session, Standing};
use cairn_bucket::Bucket;
use cairn_chunk::{ChunkId, ChunkKey};
use cairn_env::Env;

use crate::error::Error;
use crate::follow::Follow;
use crate::model::{Dataset, Project, Publication, Rules, Summary, Tag, Target, Version};
use crate::refs::{On, Refs, by_dataset};
use crate::store::{Published, Store, Upload};
use crate::warm::Warm;

/// The longest message of a publication, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4096;

/// The datasets of one bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Datasets {
    pub(crate) blocks: Blocks,
    pub(crate) refs: Refs,
    pub(crate) warm: Arc<Warm>,
}

impl std::fmt::Debug for Refs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refs")
    }
}

impl Datasets {
    /// The datasets on an open block store.
    #[must_use]
    pub fn new(blocks: Blocks) -> Self {
        Self { refs: Refs::new(blocks.clone()), blocks, warm: Arc::new(Warm::new()) }
    }

    /// Opens the bucket, and makes it a Cairn bucket when it is empty.
    ///
    /// # Errors
    /// [`Error::Blocks`].
    pub async fn open_or_init(
        bucket: Bucket,
        secret: Option<&Secret>,
        options: Options,
        env: &Env,
    ) -> Result<Self, Error> {
        let opened = Blocks::open(bucket.clone(), secret, options.clone(), env).await;
        let blocks = match opened {
            Err(cairn_blocks::Error::NotInitialised { .. }) => {
                match Blocks::init(bucket.clone(), secret, options.clone(), env).await {
                    Err(cairn_blocks::Error::AlreadyInitialised { .. }) => {
                        Blocks::open(bucket, secret, options, env).await?
                    }
                    other => other?,
                }
            }
            other => other?,
        };
        Ok(Self::new(blocks))
    }

    /// The block store below.
    #[must_use]
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// Follows a tag from what it is now on. [`Store::follow_from`] goes on from a state that was seen
    /// before. To be called within the runtime.
    #[must_use]
    pub fn follow(&self, target: Target) -> Follow {
        self.refs.follow(target, None)
    }

    pub(crate) fn key(&self, project: &ProjectName) -> ChunkKey {
        self.blocks.chunk_key(project)
    }

    /// Opens an upload in this process. `trusted` is for callers that made the chunks themselves;
    /// frames of others are checked, and so is their manifest (DATASETS-2).
    ///
    /// # Errors
    /// [`Error::Invalid`] for targets of several projects or none.
    pub(crate) async fn upload_to(
        &self,
        targets: &[Target],
        trusted: bool,
    ) -> Result<LocalUpload, Error> {
        let project = match targets {
            [] => return Err(Error::invalid("a push needs at least one NAME:TAG")),
            [first, rest @ ..]
                if rest.iter().all(|t| t.dataset.project == first.dataset.project) =>
            {
                first.dataset.project.clone()
            }
            _ => return Err(Error::invalid("one push goes to one project; push once for each")),
        };
        let session = self.blocks.session().await?;
        let mut base = Vec::new();
        for target in targets {
            if let Some((state, _)) = self.refs.load(target).await? {
                base.extend(state.current.map(|version| version.root));
            }
        }
        let key = self.key(&project);
        let datasets = self.clone();
        Ok(LocalUpload {
            datasets,
            session,
            key,
            project,
            targets: targets.to_vec(),
            base,
            trusted,
        })
    }

    /// An upload of chunks that this process makes, for what is no version.
    pub(crate) async fn upload_for(&self, project: &ProjectName) -> Result<LocalUpload, Error> {
        let session = self.blocks.session().await?;
        Ok(LocalUpload {
            datasets: self.clone(),
            session,
            key: self.key(project),
            project: project.clone(),
            targets: Vec::new(),
            base: Vec::new(),
            trusted: true,
        })
    }

    /// Moves targets to a root whose chunks are all registered (DATASETS-1, DATASETS-2, BLOCKS-4).
    async fn publish_root(
        &self,
        session: &Session,
        project: &ProjectName,
        targets: &[Target],
        version: &Version,
        unproven: Option<&[ChunkId]>,
        on: Option<&On>,
    ) -> Result<(), Error> {
        for target in targets {
            self.refs.announce(target, session.id(), version).await?;
        }
        let proof = self.prove(session, project, version.root, unproven).await;
        if let Err(error) = proof {
            for target in targets {
                self.refs.retract(target, session.id()).await?;
            }
            return Err(error);
        }
        for target in targets {
            let settled = self.refs.settle(target, session.id(), version, on).await;
            if matches!(settled, Err(Error::Moved { .. })) {
                self.refs.retract(target, session.id()).await?;
            }
            settled?;
        }
        Ok(())
    }

    /// After the announcement: nothing that the root reaches is missing or about to go. Without a
    /// sweep since the session began and with chunks we made ourselves, that needs no look.
    pub(crate) async fn prove(
        &self,
        session: &Session,
        project: &ProjectName,
        root: ChunkId,
        unproven: Option<&[ChunkId]>,
    ) -> Result<(), Error> {
        match (session.standing().await?, unproven) {
            (Standing::Unswept, None) => Ok(()),
            (Standing::Unswept, Some(base)) => self.check_complete(project, root, base).await,
            (Standing::Swept, _) => {
                self.check_complete(project, root, &[]).await.map_err(|error| match error {
                    Error::Incomplete { count, .. } => {
                        let missing = usize::try_from(count).unwrap_or(usize::MAX);
                        cairn_blocks::Error::Swept { missing }.into()
                    }
                    other => other,
                })
            }
        }
    }

    fn version(&self, publication: &Publication) -> Result<Version, Error> {
        let message = publication.message.as_ref();
        if message.is_some_and(|message| message.len() > MESSAGE_BYTES_MAX) {
            let max = MESSAGE_BYTES_MAX as u64;
            return Err(Error::TooMany { what: "length of the message", max });
        }
        Ok(Version {
            root: publication.root,
            time_ns: self.blocks.env().clock.wall_ns(),
            by: publication.by.clone(),
            message: publication.message.clone(),
            expires_ns: publication.expires_ns,
            files: publication.totals.files,
            bytes: publication.totals.bytes,
            new_bytes: 0,
            stored_bytes: 0,
        })
    }
}

/// An upload into a bucket that this process has open.
pub(crate) struct LocalUpload {
    datasets: Datasets,
    session: Session,
    key: ChunkKey,
    project: ProjectName,
    targets: Vec<Target>,
    /// Roots that the targets had when the session began: what they reach was stored then.
    base: Vec<ChunkId>,
    trusted: bool,
}

impl LocalUpload {
    /// When every target has this root already, and nothing else was asked for, there is nothing to
    /// do: the version that is there.
    async fn unchanged(&self, publication: &Publication) -> Result<Option<Version>, Error> {
        let mut version = None;
        for target in &self.targets {
            let current =
                self.datasets.refs.load(target).await?.and_then(|(state, _)| state.current);
            match current {
                Some(current)
                    if current.root == publication.root
                        && current.expires_ns == publication.expires_ns
                        && publication.message.is_none() =>
                {
                    version = Some(current);
                }
                _ => return Ok(None),
            }
        }
        Ok(version)
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Ends it: what it stored is published, or left for a collection.
    pub(crate) async fn end(&self) {
        end(&self.session).await;
    }

    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Publishes what was made on top of `on`, while the target points there; every chunk that is not
    /// in that version is looked up (DATASETS-2). Only then the session ends.
    ///
    /// # Errors
    /// [`Error::Moved`], [`Error::Incomplete`], [`Error::Blocks`].
    pub(crate) async fn publish_on(
        &self,
        publication: &Publication,
        on: &On,
    ) -> Result<Published, Error> {
        self.session.flush().await?;
        let stored = self.session.stats().await;
        let mut version = self.datasets.version(publication)?;
        version.new_bytes = stored.content_bytes;
        version.stored_bytes = stored.stored_bytes;
        let base: Vec<ChunkId> = on.0.iter().map(|version| version.root).collect();
        let (project, targets) = (&self.project, &self.targets);
        let moving = self.datasets.publish_root(
            &self.session,
            project,
            targets,
            &version,
            Some(&base),
            Some(on),
        );
        moving.await?;
        end(&self.session).await;
        Ok(Published { version, stored })
    }
}

#[async_trait]
impl Upload for LocalUpload {
    async fn claim(&self, ids: &[ChunkId]) -> Result<Vec<bool>, Error> {
        Ok(self.session.claim(ids).await?)
    }

    async fn keep(&self) -> Result<(), Error> {
        Ok(self.session.keep().await?)
    }

    async fn add(&self, frame: Frame) -> Result<(), Error> {
        if self.trusted {
            self.session.add(frame).await?;
        } else {
            self.session.add_checked(&self.key, frame).await?;
        }
        Ok(())
    }

    async fn publish(&self, publication: &Publication) -> Result<Published, Error> {
        self.session.flush().await?;
        let stored = self.session.stats().await;
        if let Some(version) = self.unchanged(publication).await? {
            end(&self.session).await;
            return Ok(Published { version, stored });
        }
        let mut version = self.datasets.version(publication)?;
        version.new_bytes = stored.content_bytes;
        version.stored_bytes = stored.stored_bytes;
        let unproven = (!self.trusted).then_some(self.base.as_slice());
        if !self.trusted {
            let totals = self.datasets.root_totals(&self.project, publication.root).await;
            let totals = totals.map_err(not_uploaded)?;
            (version.files, version.bytes) = (totals.files, totals.bytes);
        }
        self.datasets
            .publish_root(&self.session, &self.project, &self.targets, &version, unproven, None)
            .await?;
        end(&self.session).await;
        Ok(Published { version, stored })
    }

    async fn abandon(&self) -> Result<(), Error> {
        Ok(self.session.end().await?)
    }
}

#[async_trait]
impl Store for Datasets {
    fn env(&self) -> &Env {
        self.blocks.env()
    }

    async fn project(&self, project: &ProjectName) -> Result<Project, Error> {
        Ok(Project { bucket_id: self.blocks.id().to_owned(), key: self.key(project) })
    }

    async fn list(&self, project: &ProjectName) -> Result<Vec<Summary>, Error> {
        let datasets = by_dataset(self.refs.all(Some(project), None).await?);
        Ok(datasets
            .into_iter()
            .filter_map(|(dataset, tags)| {
                let newest = tags.iter().map(|tag| &tag.current).max_by_key(|v| v.time_ns)?.clone();
                Some(Summary {
                    project: dataset.project.to_string(),
                    name: dataset.name.to_string(),
                    tags: tags.into_iter().map(|tag| tag.tag).collect(),
                    newest,
                })
            })
            .collect())
    }

    async fn tags(&self, dataset: &Dataset) -> Result<Vec<Tag>, Error> {
        self.refs.tags(dataset).await
    }

    async fn tag(&self, target: &Target) -> Result<Tag, Error> {
        self.refs.tag(target).await
    }

    fn follow_from(&self, target: &Target, last: Option<String>) -> Follow {
        self.refs.follow(target.clone(), last)
    }

    async fn read(&self, dataset: &Dataset, ids: &[ChunkId]) -> Result<Vec<Bytes>, Error> {
        Ok(self.blocks.read(&self.key(&dataset.project), ids).await?)
    }

    async fn upload(&self, targets: &[Target]) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(self.upload_to(targets, true).await?))
    }

    async fn copy_tag(&self, from: &Target, to: &Target, by: &str) -> Result<Version, Error> {
        if from.dataset.project != to.dataset.project {
            return Err(Error::invalid("a tag is copied within a project; pull and push instead"));
        }
        let session = self.blocks.session().await?;
        let source = self.refs.tag(from).await?.current;
        let version = Version {
            time_ns: self.blocks.env().clock.wall_ns(),
            by: by.to_owned(),
            message: source.message,
            expires_ns: None,
            new_bytes: 0,
            stored_bytes: 0,
            ..source
        };
        let targets = [to.clone()];
        self.publish_root(&session, &from.dataset.project, &targets, &version, None, None).await?;
        end(&session).await;
        Ok(version)
    }

    async fn remove(&self, target: &Target) -> Result<(), Error> {
        self.refs.remove(target).await
    }

    async fn rules(&self, dataset: &Dataset) -> Result<Rules, Error> {
        self.refs.tags(dataset).await?;
        self.refs.rules(dataset).await
    }

    async fn set_rules(&self, dataset: &Dataset, rules: &Rules) -> Result<(), Error> {
        self.refs.tags(dataset).await?;
        self.refs.set_rules(dataset, rules).await
    }
}

/// A root of a client that is not stored is what the client left out, not a loss.
fn not_uploaded(error: Error) -> Error {
    match error {
        Error::Blocks(cairn_blocks::Error::MissingChunk { id }) => {
            Error::Incomplete { count: 1, first: id.to_string() }
        }
        other => other,
    }
}

/// Ends a session whose work is published: nothing that goes wrong here changes that, and the lease
/// runs out by itself.
async fn end(session: &Session) {
    if let Err(error) = session.end().await {
        tracing::debug!(%error, "a session could not be ended");
    }
}

/// A lookup that found nothing, as the answer it is.
pub(crate) fn missing_is_none<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
