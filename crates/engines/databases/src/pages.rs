//! The pages of a cluster while its log is replayed in memory.

use std::collections::BTreeMap;

use cairn_pgwal::effects::Effect;
use cairn_pgwal::redo::{cut_visibility, visibility_page};
use cairn_pgwal::{Fork, Page, Relation};

use crate::base::Base;

/// Tablespace and database.
type Database = (u32, u32);

/// Pages as the log made them, over those of a copy.
#[derive(Debug)]
pub(crate) struct Pages<'a> {
    base: &'a mut Base,
    relations: BTreeMap<Relation, Entry>,
    /// Where the copy has the pages of a database that is not where it was; nowhere once dropped.
    databases: BTreeMap<Database, Option<Database>>,
}

/// One relation.
#[derive(Clone, Debug, Default)]
struct Entry {
    pages: BTreeMap<(Fork, u32), Box<Page>>,
    /// Where the copy has its pages.
    base: Option<Relation>,
    /// Of the copy's pages of a fork only those before it count.
    cut: BTreeMap<Fork, u32>,
}

const fn database(relation: Relation) -> Database {
    (relation.tablespace, relation.database)
}

const fn within(relation: Relation, (tablespace, database): Database) -> Relation {
    Relation { tablespace, database, ..relation }
}

impl<'a> Pages<'a> {
    pub(crate) fn new(base: &'a mut Base) -> Self {
        Self { base, relations: BTreeMap::new(), databases: BTreeMap::new() }
    }

    /// A page; of zeros where there was none.
    pub(crate) fn page(&mut self, relation: Relation, fork: Fork, number: u32) -> &mut Page {
        let databases = &self.databases;
        let entry = self.relations.entry(relation).or_insert_with(|| {
            let home = databases.get(&database(relation)).copied();
            let base = home.unwrap_or(Some(database(relation))).map(|home| within(relation, home));
            Entry { base, ..Entry::default() }
        });
        let (base, home) = (&mut *self.base, entry.base);
        let counts = entry.cut.get(&fork).is_none_or(|cut| number < *cut);
        entry.pages.entry((fork, number)).or_insert_with(|| {
            let mut page = Page::zeroed();
            let read = home
                .filter(|_| counts)
                .is_some_and(|home| base.read(home, fork, number, &mut page));
            if !read {
                page.0.fill(0);
            }
            page
        })
    }

    /// Does to files what a record does.
    pub(crate) fn apply(&mut self, effect: &Effect<'_>) {
        match effect {
            Effect::DropRelation { relation } => {
                self.relations.insert(*relation, Entry::default());
            }
            Effect::Truncate { relation, blocks, main, visibility, .. } => {
                if *main {
                    self.cut(*relation, Fork::Main, *blocks);
                }
                if *visibility {
                    // The map's page of the last block that is kept, if any is.
                    let last = blocks.checked_sub(1).map(visibility_page);
                    self.cut(*relation, Fork::Visibility, last.map_or(0, |last| last + 1));
                    if let Some(last) = last.filter(|last| *last == visibility_page(*blocks)) {
                        cut_visibility(self.page(*relation, Fork::Visibility, last), *blocks);
                    }
                }
            }
            Effect::CopyDatabase { from, to } => self.copy_database(*from, *to),
            Effect::DropDatabase { tablespace, database } => {
                self.drop_database((*tablespace, *database));
            }
            _ => {}
        }
    }

    /// Of a fork only so many blocks are left.
    fn cut(&mut self, relation: Relation, fork: Fork, blocks: u32) {
        self.page(relation, fork, 0);
        let Some(entry) = self.relations.get_mut(&relation) else { return };
        entry.pages.retain(|(other, number), _| *other != fork || *number < blocks);
        let cut = entry.cut.entry(fork).or_insert(blocks);
        *cut = (*cut).min(blocks);
    }

    /// The pages that were read or made, as they are now.
    pub(crate) fn known(&self) -> impl Iterator<Item = (Relation, Fork, u32, &Page)> {
        self.relations.iter().flat_map(|(relation, entry)| {
            entry.pages.iter().map(|((fork, number), page)| (*relation, *fork, *number, &**page))
        })
    }

    fn copy_database(&mut self, from: Database, to: Database) {
        self.drop_database(to);
        let home = self.databases.get(&from).copied().unwrap_or(Some(from));
        self.databases.insert(to, home);
        let copies: Vec<_> = self
            .relations
            .iter()
            .filter(|(relation, _)| database(**relation) == from)
            .map(|(relation, entry)| (within(*relation, to), entry.clone()))
            .collect();
        self.relations.extend(copies);
    }

    fn drop_database(&mut self, gone: Database) {
        self.relations.retain(|relation, _| database(*relation) != gone);
        self.databases.insert(gone, None);
    }
}
