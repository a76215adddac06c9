//! Pages of records: keys of objects and their bytes, one after the other, each with its length before it
//! (LEB128).

use bytes::Bytes;
use cairn_base::varint;

/// A page is full when it has so many bytes.
pub(crate) const PAGE_BYTES: usize = 8 << 20;

/// An object that changes: its key and its bytes.
pub(crate) type Record = (String, Bytes);

/// The pages of some records.
pub(crate) fn pages(records: &[Record]) -> Vec<Vec<u8>> {
    let mut pages = vec![Vec::new()];
    for (key, bytes) in records {
        if pages.last().is_some_and(|page| page.len() >= PAGE_BYTES) {
            pages.push(Vec::new());
        }
        let Some(page) = pages.last_mut() else { continue };
        for part in [key.as_bytes(), bytes] {
            varint::put(page, part.len() as u64);
            page.extend_from_slice(part);
        }
    }
    pages
}

/// The records of a page; `None` when it is no page.
pub(crate) fn records(mut page: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    while !page.is_empty() {
        let key = String::from_utf8(part(&mut page)?.to_vec()).ok()?;
        records.push((key, Bytes::copy_from_slice(part(&mut page)?)));
    }
    Some(records)
}

fn part<'a>(page: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(varint::take(page)?).ok()?;
    let (part, rest) = page.split_at_checked(len)?;
    *page = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let large = Bytes::from(vec![7; PAGE_BYTES / 3]);
        let records: Vec<Record> = (0..10).map(|n| (format!("refs/{n}"), large.clone())).collect();
        let pages = super::pages(&records);
        assert!(pages.len() > 2 && pages.iter().all(|page| page.len() < 2 * PAGE_BYTES));
        let read: Vec<Record> =
            pages.iter().flat_map(|page| super::records(page).unwrap()).collect();
        assert_eq!(read, records);
        assert_eq!(super::records(&[]), Some(Vec::new()));
    }

    #[test]
    fn hostile_pages_are_refused() {
        let page = super::pages(&[("key".to_owned(), Bytes::from_static(b"bytes"))]).remove(0);
        for cut in 1..page.len() {
            assert_eq!(super::records(&page[..cut]), None, "cut at {cut}");
        }
        assert_eq!(super::records(&[255; 40]), None);
        assert_eq!(super::records(&[1, 0xff, 0]), None, "a key is text");
    }
}
