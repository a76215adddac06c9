//! Items: adding, deleting, replacing, packing.

use super::{
    HAS_FREE_LINES, HEADER_BYTES, HEAP_ITEMS_MAX, LINE_POINTER_BYTES, Line, LineState, Page,
    aligned,
};
use crate::error::PageError;

/// Line pointers that fit into a page at most.
const LINES_MAX: usize = (super::PAGE_BYTES - HEADER_BYTES) / LINE_POINTER_BYTES;

/// Where an item goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this number; those from there on move up by one.
    Insert(u16),
    /// At this number, whose line pointer is free or the next one.
    Overwrite(u16),
    /// At the first free line pointer.
    Any,
}

fn at(number: u16) -> usize {
    HEADER_BYTES + (usize::from(number) - 1) * LINE_POINTER_BYTES
}

fn number(count: usize) -> u16 {
    u16::try_from(count).expect("a page has at most 2042 line pointers")
}

impl Page {
    /// How many line pointers there are; the last one's number. 0 also where the header is damaged.
    #[must_use]
    pub fn item_count(&self) -> u16 {
        let bytes = self.lower().min(super::PAGE_BYTES).saturating_sub(HEADER_BYTES);
        number(bytes / LINE_POINTER_BYTES)
    }

    /// Whether there are no line pointers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.item_count() == 0
    }

    /// The free bytes between line pointers and items.
    #[must_use]
    pub fn free_space(&self) -> usize {
        self.upper().saturating_sub(self.lower())
    }

    /// The line pointer of an item. The first is number 1.
    ///
    /// # Errors
    /// [`PageError::NoItem`].
    pub fn line(&self, number: u16) -> Result<Line, PageError> {
        if number == 0 || number > self.item_count() {
            return Err(PageError::NoItem(number));
        }
        Ok(self.line_at(number))
    }

    fn line_at(&self, number: u16) -> Line {
        let bytes = self.0[at(number)..].first_chunk().copied();
        Line::from_bits(u32::from_le_bytes(bytes.unwrap_or_default()))
    }

    /// Writes the line pointer of an item.
    ///
    /// # Errors
    /// [`PageError::NoItem`].
    pub fn set_line(&mut self, number: u16, line: Line) -> Result<(), PageError> {
        if number == 0 || number > self.item_count() {
            return Err(PageError::NoItem(number));
        }
        self.put_line(number, line);
        Ok(())
    }

    fn put_line(&mut self, number: u16, line: Line) {
        let at = at(number);
        self.0[at..at + LINE_POINTER_BYTES].copy_from_slice(&line.bits().to_le_bytes());
    }

    /// Where an item's bytes are.
    ///
    /// # Errors
    /// [`PageError::NoItem`]; [`PageError::BadItem`] when it has none, or they are not where items are.
    pub fn item_range(&self, number: u16) -> Result<core::ops::Range<usize>, PageError> {
        let line = self.line(number)?;
        let start = usize::from(line.offset);
        let end = start + usize::from(line.len);
        let inside = line.has_item() && start >= HEADER_BYTES && end <= super::PAGE_BYTES;
        if inside { Ok(start..end) } else { Err(PageError::BadItem(number)) }
    }

    /// An item.
    ///
    /// # Errors
    /// As [`Page::item_range`].
    pub fn item(&self, number: u16) -> Result<&[u8], PageError> {
        Ok(&self.0[self.item_range(number)?])
    }

    /// An item, to be changed in its place.
    ///
    /// # Errors
    /// As [`Page::item_range`].
    pub fn item_mut(&mut self, number: u16) -> Result<&mut [u8], PageError> {
        let range = self.item_range(number)?;
        Ok(&mut self.0[range])
    }

    /// Whether all items lie where items may, apart from each other, and the next one would.
    ///
    /// # Errors
    /// [`PageError::Header`]; [`PageError::BadItem`] for one that does not.
    pub fn check_items(&self) -> Result<(), PageError> {
        self.check_header()?;
        if !self.upper().is_multiple_of(8) {
            return Err(self.bad_header());
        }
        let mut taken = [false; super::PAGE_BYTES / 8];
        for number in 1..=self.item_count() {
            if !self.line_at(number).has_item() {
                continue;
            }
            let line = self.sound_item(number)?;
            let (start, len) = (usize::from(line.offset), aligned(usize::from(line.len)));
            for word in &mut taken[start / 8..(start + len) / 8] {
                if core::mem::replace(word, true) {
                    return Err(PageError::BadItem(number));
                }
            }
        }
        Ok(())
    }

    /// An item that lies where items may: between upper and special, at a multiple of 8.
    fn sound_item(&self, number: u16) -> Result<Line, PageError> {
        let line = self.line(number)?;
        let (start, len) = (usize::from(line.offset), usize::from(line.len));
        let sound = line.has_item()
            && start >= self.upper()
            && start + aligned(len) <= self.special()
            && start.is_multiple_of(8);
        if sound { Ok(line) } else { Err(PageError::BadItem(number)) }
    }

    /// Adds an item and returns its number.
    ///
    /// # Errors
    /// [`PageError`]; nothing was changed then, but for a flag about free line pointers.
    pub fn add_item(&mut self, item: &[u8], place: Place) -> Result<u16, PageError> {
        self.check_header()?;
        let limit = self.item_count() + 1;
        let (number, shuffle) = match place {
            Place::Insert(number) => (number, number < limit),
            Place::Overwrite(number) => {
                let taken = |line: Line| line.is_used() || line.has_item();
                if number != 0 && number < limit && taken(self.line_at(number)) {
                    return Err(PageError::Taken(number));
                }
                (number, false)
            }
            Place::Any => (self.first_free(limit), false),
        };
        if number == 0 || number > limit {
            return Err(PageError::NoItem(number));
        }
        let grown = number == limit || shuffle;
        let lower = self.lower() + if grown { LINE_POINTER_BYTES } else { 0 };
        let upper = self.upper().checked_sub(aligned(item.len())).filter(|upper| lower <= *upper);
        let upper = upper.ok_or(PageError::Full(item.len()))?;
        if shuffle {
            self.0.copy_within(at(number)..at(limit), at(number) + LINE_POINTER_BYTES);
        }
        let len = u16::try_from(item.len()).expect("it fits into the page");
        let offset = u16::try_from(upper).expect("it is in the page");
        self.set_lower(lower);
        self.set_upper(upper);
        self.put_line(number, Line { offset, state: LineState::Normal, len });
        self.0[upper..upper + item.len()].copy_from_slice(item);
        Ok(number)
    }

    /// As [`Page::add_item`], for a row of a heap.
    ///
    /// # Errors
    /// As [`Page::add_item`].
    pub fn add_heap_item(&mut self, item: &[u8], place: Place) -> Result<u16, PageError> {
        let number = match place {
            Place::Insert(number) | Place::Overwrite(number) => number,
            Place::Any => 0,
        };
        if number > HEAP_ITEMS_MAX {
            return Err(PageError::NoItem(number));
        }
        self.add_item(item, place)
    }

    fn first_free(&mut self, limit: u16) -> u16 {
        if self.flags() & HAS_FREE_LINES == 0 {
            return limit;
        }
        let free = |number: &u16| {
            let line = self.line_at(*number);
            !line.is_used() && !line.has_item()
        };
        match (1..limit).find(free) {
            Some(number) => number,
            None => {
                self.change_flags(0, HAS_FREE_LINES);
                limit
            }
        }
    }

    /// Packs the items of a heap page, drops free line pointers at the end (`PageRepairFragmentation`).
    ///
    /// # Errors
    /// [`PageError`]; nothing was changed then.
    pub fn repair_fragmentation(&mut self) -> Result<(), PageError> {
        self.check_header()?;
        let count = self.item_count();
        let (mut packed, mut last_used, mut unused) = (Packing::new(), 0, 0);
        for number in 1..=count {
            let line = self.line_at(number);
            if !line.is_used() {
                unused += 1;
                continue;
            }
            last_used = number;
            if line.has_item() {
                let offset = usize::from(line.offset);
                if offset < self.upper() || offset >= self.special() {
                    return Err(PageError::BadItem(number));
                }
                packed.push(number, line);
            }
        }
        packed.check(self)?;
        for number in 1..=count {
            if !self.line_at(number).is_used() {
                self.put_line(number, Line::UNUSED);
            }
        }
        packed.apply(self);
        unused -= count - last_used;
        self.set_lower(self.lower() - usize::from(count - last_used) * LINE_POINTER_BYTES);
        self.hint_free_lines(unused > 0);
        Ok(())
    }

    /// Drops free line pointers at the end but the first one (`PageTruncateLinePointerArray`).
    pub fn truncate_lines(&mut self) {
        let count = self.item_count();
        let used = |number: &u16| self.line_at(*number).is_used();
        let kept = (1..=count).rev().find(|number| *number == 1 || used(number)).unwrap_or(0);
        let free_left = (1..=kept).any(|number| !used(&number));
        self.set_lower(self.lower() - usize::from(count - kept) * LINE_POINTER_BYTES);
        self.hint_free_lines(free_left);
    }

    fn hint_free_lines(&mut self, any: bool) {
        if any {
            self.change_flags(HAS_FREE_LINES, 0);
        } else {
            self.change_flags(0, HAS_FREE_LINES);
        }
    }

    /// Deletes an index entry and its line pointer (`PageIndexTupleDelete`).
    ///
    /// # Errors
    /// [`PageError`]; nothing was changed then.
    pub fn delete_item(&mut self, number: u16) -> Result<(), PageError> {
        self.check_header()?;
        let gone = self.sound_item(number)?;
        let (lower, count) = (self.lower(), self.item_count());
        self.0.copy_within(at(number) + LINE_POINTER_BYTES..lower, at(number));
        self.set_lower(lower - LINE_POINTER_BYTES);
        self.close_gap(gone, count - 1, |_| true);
        Ok(())
    }

    /// Deletes an index entry and keeps the numbers of the others
    /// (`PageIndexTupleDeleteNoCompact`).
    ///
    /// # Errors
    /// [`PageError`]; nothing was changed then.
    pub fn delete_item_in_place(&mut self, number: u16) -> Result<(), PageError> {
        self.check_header()?;
        let gone = self.sound_item(number)?;
        let mut count = self.item_count();
        if number < count {
            self.put_line(number, Line::UNUSED);
        } else {
            count -= 1;
            self.set_lower(self.lower() - LINE_POINTER_BYTES);
        }
        self.close_gap(gone, count, Line::has_item);
        Ok(())
    }

    /// Moves what lies before an item over it, and the line pointers with it.
    fn close_gap(&mut self, gone: Line, count: u16, moves: impl Fn(Line) -> bool) {
        let (upper, size) = (self.upper(), aligned(usize::from(gone.len)));
        self.0.copy_within(upper..usize::from(gone.offset), upper + size);
        self.set_upper(upper + size);
        self.shift_lines(count, gone.offset, size.cast_signed(), moves);
    }

    fn shift_lines(&mut self, count: u16, up_to: u16, by: isize, moves: impl Fn(Line) -> bool) {
        for number in 1..=count {
            let mut line = self.line_at(number);
            if moves(line) && line.offset <= up_to {
                let moved = usize::from(line.offset).wrapping_add_signed(by);
                line.offset = u16::try_from(moved & 0x7fff).expect("15 bits");
                self.put_line(number, line);
            }
        }
    }

    /// Deletes index entries with their line pointers (`PageIndexMultiDelete`). The numbers must rise.
    ///
    /// # Errors
    /// [`PageError`]; with more than two numbers nothing was changed then.
    pub fn delete_items(&mut self, numbers: &[u16]) -> Result<(), PageError> {
        if numbers.len() <= 2 {
            return numbers.iter().rev().try_for_each(|number| self.delete_item(*number));
        }
        self.check_header()?;
        let mut gone = numbers.iter().copied().peekable();
        let mut kept = Packing::new();
        let mut lines = [Line::UNUSED; LINES_MAX];
        for number in 1..=self.item_count() {
            let line = self.sound_item(number)?;
            if gone.next_if_eq(&number).is_none() {
                lines[kept.len] = line;
                kept.push(super::items::number(kept.len + 1), line);
            }
        }
        if let Some(number) = gone.next() {
            return Err(PageError::NoItem(number));
        }
        kept.check(self)?;
        self.set_lower(HEADER_BYTES + kept.len * LINE_POINTER_BYTES);
        for (index, line) in lines[..kept.len].iter().enumerate() {
            self.put_line(super::items::number(index + 1), *line);
        }
        kept.apply(self);
        Ok(())
    }

    /// Puts another item in the place of one, with the same number (`PageIndexTupleOverwrite`).
    ///
    /// # Errors
    /// [`PageError`]; nothing was changed then.
    pub fn replace_item(&mut self, number: u16, item: &[u8]) -> Result<(), PageError> {
        self.check_header()?;
        let line = self.sound_item(number)?;
        let (old, new) = (aligned(usize::from(line.len)), aligned(item.len()));
        if new > old + self.free_space() || item.is_empty() {
            return Err(PageError::Full(item.len()));
        }
        let (upper, by) = (self.upper(), old.cast_signed() - new.cast_signed());
        if by != 0 {
            let to = upper.wrapping_add_signed(by);
            self.0.copy_within(upper..usize::from(line.offset), to);
            self.set_upper(to);
            self.shift_lines(self.item_count(), line.offset, by, Line::has_item);
        }
        let start = usize::from(line.offset).wrapping_add_signed(by);
        let offset = u16::try_from(start).expect("it is in the page");
        let len = u16::try_from(item.len()).expect("it fits into the page");
        self.put_line(number, Line { offset, len, ..line });
        self.0[start..start + item.len()].copy_from_slice(item);
        Ok(())
    }
}

/// Items to be packed at the end of a page, in the order of their numbers.
struct Packing {
    items: [(u16, Line); LINES_MAX],
    len: usize,
}

impl Packing {
    const fn new() -> Self {
        Self { items: [(0, Line::UNUSED); LINES_MAX], len: 0 }
    }

    fn push(&mut self, number: u16, line: Line) {
        self.items[self.len] = (number, line);
        self.len += 1;
    }

    fn items(&self) -> &[(u16, Line)] {
        &self.items[..self.len]
    }

    fn check(&self, page: &Page) -> Result<(), PageError> {
        let total: usize =
            self.items().iter().map(|(_, line)| aligned(usize::from(line.len))).sum();
        let outside = self.items().iter().find(|(_, line)| {
            usize::from(line.offset) + aligned(usize::from(line.len)) > page.special()
        });
        if let Some((number, _)) = outside {
            return Err(PageError::BadItem(*number));
        }
        if total > page.special() - page.lower() { Err(PageError::Full(total)) } else { Ok(()) }
    }

    /// Packs them from the special space downwards; each moves with its padding.
    fn apply(&self, page: &mut Page) {
        let mut upper = page.special();
        let before = page.0;
        for (number, line) in self.items() {
            let (from, len) = (usize::from(line.offset), aligned(usize::from(line.len)));
            upper -= len;
            page.0[upper..upper + len].copy_from_slice(&before[from..from + len]);
            let offset = u16::try_from(upper).expect("it is in the page");
            page.put_line(*number, Line { offset, ..*line });
        }
        page.set_upper(upper);
    }
}
