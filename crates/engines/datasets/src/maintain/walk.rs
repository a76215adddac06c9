//! Walks of versions that look every chunk up: what proves a publication, and what a verification does.

use cairn_base::ProjectName;
use cairn_blocks::{Damage, Want};
use cairn_chunk::{ChunkId, ChunkKey};
use cairn_tree::{DirectoryPage, Entry, Kind, MapPage, Root, Step, Stream, Totals};

use super::WAVE;
use crate::error::Error;
use crate::local::Datasets;

impl Datasets {
    /// DATASETS-2: every chunk that the root reaches is stored in a pack that stays. What `base`
    /// roots reach needs no look.
    pub(crate) async fn check_complete(
        &self,
        project: &ProjectName,
        root: ChunkId,
        base: &[ChunkId],
    ) -> Result<(), Error> {
        let damage = Damage::default();
        let walk = self.walk(project, root, base, &damage).await?;
        match walk.first_missing {
            None => Ok(()),
            Some(first) => Err(Error::Incomplete { count: walk.missing, first: first.to_string() }),
        }
    }

    /// What a root says it has.
    pub(crate) async fn root_totals(
        &self,
        project: &ProjectName,
        root: ChunkId,
    ) -> Result<Totals, Error> {
        let missing = || Error::Incomplete { count: 1, first: root.to_string() };
        let mut pages = match self.blocks.read(&self.key(project), &[root]).await {
            Err(cairn_blocks::Error::MissingChunk { .. }) => return Err(missing()),
            other => other?,
        };
        Ok(Root::decode(&pages.pop().ok_or_else(missing)?)?.totals)
    }

    /// Walks a version beside the versions it builds on, and looks every chunk up that they do not
    /// share page by page. Pages are checked against what their parents say.
    pub(super) async fn walk<'a>(
        &'a self,
        project: &ProjectName,
        root: ChunkId,
        base: &[ChunkId],
        damage: &'a Damage,
    ) -> Result<Walk<'a>, Error> {
        let mut walk = Walk::new(self, project, damage);
        if !walk.look_up(&[root]).await? {
            return Ok(walk);
        }
        let new = walk.root(root).await?;
        let mut old = None;
        for root in base {
            old = old.or(walk.root(*root).await.ok().and_then(|root| root.page));
        }
        walk.directories.push((old, new.page, new.totals));
        while let Some((old, new, totals)) = walk.directories.pop() {
            walk.directory(old, new, &totals).await?;
        }
        walk.flush().await?;
        Ok(walk)
    }
}

pub(super) struct Walk<'a> {
    datasets: &'a Datasets,
    key: ChunkKey,
    /// Directories to compare: the old page, the new one, and what the new one's parent says of it.
    directories: Vec<(Option<ChunkId>, Option<ChunkId>, Totals)>,
    waiting: Vec<ChunkId>,
    pub(super) references: u64,
    pub(super) missing: u64,
    pub(super) first_missing: Option<ChunkId>,
    /// What is known to be unreadable, and how many of the references lead there.
    damage: &'a Damage,
    pub(super) damaged: u64,
}

impl<'a> Walk<'a> {
    fn new(datasets: &'a Datasets, project: &ProjectName, damage: &'a Damage) -> Self {
        Self {
            datasets,
            key: datasets.key(project),
            directories: Vec::new(),
            waiting: Vec::new(),
            references: 0,
            missing: 0,
            first_missing: None,
            damage,
            damaged: 0,
        }
    }

    /// Looks chunks up at once. Whether all are there.
    async fn look_up(&mut self, ids: &[ChunkId]) -> Result<bool, Error> {
        self.references += ids.len() as u64;
        let has = self.datasets.blocks.has(ids, Want::Live).await?;
        let before = self.missing;
        for (id, has) in ids.iter().zip(has) {
            if !has {
                self.missing += 1;
                self.first_missing.get_or_insert(*id);
            }
        }
        if !self.damage.is_empty() {
            let places = self.datasets.blocks.locate(ids).await?;
            let hits = places.iter().flatten().filter(|place| self.damage.hits(place)).count();
            self.damaged += hits as u64;
        }
        Ok(self.missing == before)
    }

    async fn data(&mut self, id: ChunkId) -> Result<(), Error> {
        self.waiting.push(id);
        if self.waiting.len() >= WAVE * 8 {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let waiting = std::mem::take(&mut self.waiting);
        self.look_up(&waiting).await?;
        Ok(())
    }

    async fn page(&self, id: ChunkId) -> Result<bytes::Bytes, Error> {
        let mut pages = self.datasets.blocks.read(&self.key, &[id]).await?;
        Ok(pages.pop().expect("a read answers every id"))
    }

    async fn root(&self, id: ChunkId) -> Result<Root, Error> {
        Ok(Root::decode(&self.page(id).await?)?)
    }

    async fn directory(
        &mut self,
        old: Option<ChunkId>,
        new: Option<ChunkId>,
        totals: &Totals,
    ) -> Result<(), Error> {
        let mut diff = cairn_tree::Diff::new(old, new);
        let mut top = true;
        loop {
            match diff.step() {
                Step::Done => return Ok(()),
                Step::Left(_) => {}
                Step::Need { side, page } => {
                    let is_new = side == cairn_tree::Side::Right;
                    if is_new && !self.look_up(&[page]).await? {
                        return Ok(());
                    }
                    let decoded = DirectoryPage::decode(&self.page(page).await?)?;
                    if is_new && std::mem::take(&mut top) {
                        decoded.check_totals(totals)?;
                    }
                    diff.supply(side, decoded)?;
                }
                Step::Right(entry) => self.entry(None, entry).await?,
                Step::Both { left, right } => self.entry(Some(left), right).await?,
            }
        }
    }

    async fn entry(&mut self, old: Option<Entry>, new: Entry) -> Result<(), Error> {
        let old = old.map(|entry| entry.kind);
        match new.kind {
            Kind::Directory { page, totals } => {
                let before = match old {
                    Some(Kind::Directory { page, .. }) => page,
                    _ => None,
                };
                self.directories.push((before, page, totals));
                Ok(())
            }
            Kind::File { content } => {
                let before: Vec<Stream> = match old {
                    Some(Kind::File { content }) => content.streams().cloned().collect(),
                    _ => Vec::new(),
                };
                for stream in content.streams().filter(|stream| !before.contains(stream)) {
                    self.stream(stream).await?;
                }
                Ok(())
            }
            Kind::Symlink { .. } | Kind::Hardlink { .. } => Ok(()),
        }
    }

    async fn stream(&mut self, stream: &Stream) -> Result<(), Error> {
        let Stream::Map { page, len } = stream else {
            for slice in stream.inline().unwrap_or_default() {
                if let cairn_tree::Source::Chunk { id, .. } = slice.source {
                    self.data(id).await?;
                }
            }
            return Ok(());
        };
        let mut open = vec![(*page, None, *len)];
        while let Some((id, child, len)) = open.pop() {
            if !self.look_up(&[id]).await? {
                return Ok(());
            }
            let page = MapPage::decode(&self.page(id).await?)?;
            match &child {
                Some(child) => cairn_tree::MapChild::check(child, &page)?,
                None => page.check_len(len)?,
            }
            match page {
                MapPage::Leaf(leaf) => {
                    for id in leaf.ids() {
                        self.data(*id).await?;
                    }
                }
                MapPage::Index(index) => {
                    open.extend(index.children().iter().map(|c| (c.page, Some(*c), c.len)));
                }
            }
        }
        Ok(())
    }
}
