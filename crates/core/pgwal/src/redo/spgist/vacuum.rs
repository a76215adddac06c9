//! Records of VACUUM; each has one block.

use alloc::vec::Vec;

use super::State;
use super::page::{self, Tombstone};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::Page;
use crate::record::Record;

/// Buries what is gone; where the head of a chain is gone and others are not, the first of them takes
/// its place; closes the gaps in chains.
pub(super) fn leaf(record: &Record<'_>, page: &mut Page) -> Result<(), RedoError> {
    let mut main = Fields::new(record.main);
    let [dead, placeholders, moves, chains] =
        [main.u16()?, main.u16()?, main.u16()?, main.u16()?].map(usize::from);
    State::take(&mut main)?;
    let (dead, placeholders) = (main.u16s(dead)?, main.u16s(placeholders)?);
    let (moved_from, moved_to) = (main.u16s(moves)?, main.u16s(moves)?);
    let (chained, next) = (main.u16s(chains)?, main.u16s(chains)?);

    let placeholder = Tombstone::Placeholder;
    page::bury(page, &dead, Tombstone::Dead, Tombstone::Dead)?;
    page::bury(page, &placeholders, placeholder, placeholder)?;
    for (from, to) in moved_from.iter().zip(moved_to) {
        let (line, other) = (page.line(*from)?, page.line(to)?);
        page.set_line(*from, other)?;
        page.set_line(to, line)?;
    }
    page::bury(page, &moved_from, placeholder, placeholder)?;
    chained.iter().zip(next).try_for_each(|(number, next)| page::set_next(page, *number, next))
}

/// Deletes tuples of a root that is a leaf. Nothing leads to their numbers.
pub(super) fn root(record: &Record<'_>, page: &mut Page) -> Result<(), RedoError> {
    let mut main = Fields::new(record.main);
    let count = main.u16()?;
    main.skip(2)?;
    State::take(&mut main)?;
    Ok(page.delete_items(&main.u16s(count.into())?)?)
}

/// Turns redirects that nobody follows any more into placeholders, and drops those at the end.
pub(super) fn redirects(record: &Record<'_>, page: &mut Page) -> Result<(), RedoError> {
    let mut main = Fields::new(record.main);
    let (count, first_gone) = (main.u16()?, main.u16()?);
    main.skip(4)?;
    for number in main.u16s(count.into())? {
        page::forget_redirect(page, number)?;
    }
    page::count_redirects(page, |redirects| redirects.wrapping_sub(count))?;
    page::count_placeholders(page, |placeholders| placeholders.wrapping_add(count))?;
    if first_gone == 0 {
        return Ok(());
    }
    let gone: Vec<u16> = (first_gone..=page.item_count()).collect();
    let gone_count = u16::try_from(gone.len()).expect("a page has at most 2042 items");
    page::count_placeholders(page, |placeholders| placeholders.wrapping_sub(gone_count))?;
    Ok(page.delete_items(&gone)?)
}
