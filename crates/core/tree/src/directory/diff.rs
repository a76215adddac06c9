use alloc::vec::Vec;
use core::cmp::Ordering;

use cairn_chunk::ChunkId;

use super::{DirectoryChild, DirectoryPage};
use crate::Error;
use crate::entry::Entry;

/// One of the two directories that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first, the old one.
    Left,
    /// The second, the new one.
    Right,
}

/// What a comparison finds, or needs, next. Names ascend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It needs this page of that side: [`Diff::supply`] it, then go on.
    Need {
        /// The side.
        side: Side,
        /// The page.
        page: ChunkId,
    },
    /// An entry that only the left side has.
    Left(Entry),
    /// An entry that only the right side has.
    Right(Entry),
    /// Entries of one name that differ. Two directories are then compared on their own.
    Both {
        /// The left side's.
        left: Entry,
        /// The right side's.
        right: Entry,
    },
    /// There is no more.
    Done,
}

/// What is known of a part of a directory.
#[derive(Debug)]
enum Item {
    /// All of it, behind its top page.
    Top(ChunkId),
    /// A page and what is below it.
    Child(DirectoryChild),
    /// An entry.
    Entry(Entry),
}

impl Item {
    fn first(&self) -> &[u8] {
        match self {
            Self::Top(_) => &[],
            Self::Child(child) => &child.first,
            Self::Entry(entry) => &entry.name,
        }
    }

    const fn page(&self) -> Option<ChunkId> {
        match self {
            Self::Top(page) => Some(*page),
            Self::Child(child) => Some(child.page),
            Self::Entry(_) => None,
        }
    }

    /// Higher items are opened before lower ones that begin with the same name, for the lower one
    /// may be the first part of the higher.
    const fn height(&self) -> u8 {
        match self {
            Self::Top(_) => u8::MAX,
            Self::Child(child) => child.level + 1,
            Self::Entry(_) => 0,
        }
    }
}

/// Compares two directories without their subdirectories: a merge of two sorted sequences that
/// skips pages both have (TREE-1 makes equal parts equal pages). It reads nothing itself:
/// [`Diff::step`] says which page it needs. Memory: the pages of two paths from the top to a leaf.
#[derive(Debug)]
pub struct Diff {
    /// What is ahead on each side, the next part last.
    left: Vec<Item>,
    right: Vec<Item>,
}

impl Diff {
    /// Compares the directories with these top pages; `None` is an empty directory.
    #[must_use]
    pub fn new(left: Option<ChunkId>, right: Option<ChunkId>) -> Self {
        let items = |page: Option<ChunkId>| page.map(Item::Top).into_iter().collect();
        Self { left: items(left), right: items(right) }
    }

    /// Goes on to the next difference, or to the next page that is needed to find it. Asked again
    /// before the page is supplied, it says the same.
    pub fn step(&mut self) -> Step {
        loop {
            let (left, right) = match (self.left.last(), self.right.last()) {
                (None, None) => return Step::Done,
                (Some(_), None) => return self.one(Side::Left),
                (None, Some(_)) => return self.one(Side::Right),
                (Some(left), Some(right)) => (left, right),
            };
            let same_page = left.page().is_some() && left.page() == right.page();
            let order = left.first().cmp(right.first());
            match order.then(right.height().cmp(&left.height())) {
                _ if same_page => {
                    self.left.pop();
                    self.right.pop();
                }
                Ordering::Less => return self.one(Side::Left),
                Ordering::Greater => return self.one(Side::Right),
                Ordering::Equal if left.page().is_some() => return self.one(Side::Left),
                Ordering::Equal => {
                    if let (Some(Item::Entry(left)), Some(Item::Entry(right))) =
                        (self.left.pop(), self.right.pop())
                        && left != right
                    {
                        return Step::Both { left, right };
                    }
                }
            }
        }
    }

    const fn items(&mut self, side: Side) -> &mut Vec<Item> {
        match side {
            Side::Left => &mut self.left,
            Side::Right => &mut self.right,
        }
    }

    /// The next part of one side: an entry that the other has not, or a page to be opened.
    fn one(&mut self, side: Side) -> Step {
        let items = self.items(side);
        match items.pop() {
            Some(Item::Entry(entry)) if side == Side::Left => Step::Left(entry),
            Some(Item::Entry(entry)) => Step::Right(entry),
            Some(item @ (Item::Top(page) | Item::Child(DirectoryChild { page, .. }))) => {
                items.push(item);
                Step::Need { side, page }
            }
            None => Step::Done,
        }
    }

    /// Hands over the page that [`Diff::step`] asked for.
    ///
    /// # Errors
    /// [`Error::Child`]: the page is not what its parent says, or its names run into those that
    /// follow it. It is then still asked for.
    ///
    /// # Panics
    /// When no page of that side was asked for.
    pub fn supply(&mut self, side: Side, page: DirectoryPage) -> Result<(), Error> {
        let items = self.items(side);
        match items.last() {
            Some(Item::Top(_)) => {}
            Some(Item::Child(child)) => child.check(&page)?,
            None | Some(Item::Entry(_)) => panic!("a page is supplied that was not asked for"),
        }
        let next = items.len().checked_sub(2).map(|next| &items[next]);
        if next.is_some_and(|next| next.first() <= page.last_name()) {
            return Err(Error::Child { what: "range of names" });
        }
        items.pop();
        match page {
            DirectoryPage::Leaf(leaf) => {
                items.extend(leaf.into_entries().into_iter().rev().map(Item::Entry));
            }
            DirectoryPage::Index(index) => {
                items.extend(index.into_children().into_iter().rev().map(Item::Child));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
