//! Hostile bytes for the decoders that are not public, for fuzz targets and tests. Nothing else may
//! use it.

use quick_xml::events::Event;

/// Reads the body of a PROPFIND and writes an answer to what it asks for.
///
/// # Panics
/// When that answer is no XML.
pub fn propfind(bytes: &[u8]) {
    let Some(text) = crate::dav::answered(bytes) else { return };
    let mut reader = quick_xml::NsReader::from_str(&text);
    loop {
        match reader.read_event() {
            Ok(Event::Eof) => return,
            Ok(_) => {}
            Err(error) => panic!("{error}: {text}"),
        }
    }
}
