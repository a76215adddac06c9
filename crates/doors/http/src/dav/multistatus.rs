//! Answers of PROPFIND: one `response` for each resource.

use std::fmt::Write as _;

use quick_xml::escape::escape;

use super::request::{Asked, DAV, Prop};
use crate::fs::encoded;

/// What stands before all responses, and after them.
pub(super) const HEAD: &str =
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"DAV:\">\n";
pub(super) const TAIL: &str = "</D:multistatus>\n";

/// A file or a collection.
#[derive(Clone, Debug, Default)]
pub(super) struct Resource {
    /// The names of its path below `/dav/`.
    pub(super) names: Vec<Vec<u8>>,
    /// An HTTP date.
    pub(super) modified: Option<String>,
    /// None for a collection.
    pub(super) file: Option<File>,
}

/// What only a file has.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) len: u64,
    pub(super) etag: String,
    pub(super) media_type: &'static str,
}

/// The properties that there are.
const PROPS: [&str; 6] = [
    "resourcetype",
    "displayname",
    "getlastmodified",
    "getcontentlength",
    "getetag",
    "getcontenttype",
];

impl Resource {
    fn href(&self) -> String {
        let names = self.names.iter().enumerate().map(|(at, name)| match name.strip_prefix(b"@") {
            // The mark of a project; its name needs no encoding.
            Some(project) if at == 0 => format!("@{}", encoded(project)),
            _ => encoded(name),
        });
        let mut href = "/dav/".to_owned();
        href.push_str(&names.collect::<Vec<_>>().join("/"));
        if self.file.is_none() && !href.ends_with('/') {
            href.push('/');
        }
        href
    }

    /// The content of a property, as XML; none where there is no such property.
    fn value(&self, name: &str) -> Option<String> {
        let file = self.file.as_ref();
        match name {
            "resourcetype" => {
                Some(if file.is_none() { "<D:collection/>".to_owned() } else { String::new() })
            }
            "displayname" => Some(escaped(self.names.last().map_or(b"", Vec::as_slice))),
            "getlastmodified" => self.modified.clone(),
            "getcontentlength" => file.map(|file| file.len.to_string()),
            "getetag" => file.map(|file| escape(file.etag.as_str()).into_owned()),
            "getcontenttype" => file.map(|file| file.media_type.to_owned()),
            _ => None,
        }
    }

    /// Appends the response for this resource.
    pub(super) fn write(&self, asked: &Asked, to: &mut String) {
        let (mut found, mut missing) = (String::new(), String::new());
        match asked {
            Asked::All | Asked::Names => {
                for name in PROPS {
                    match self.value(name) {
                        Some(value) if *asked == Asked::All => put(&mut found, name, &value),
                        Some(_) => put(&mut found, name, ""),
                        None => {}
                    }
                }
            }
            Asked::Props(props) => {
                for prop in props {
                    let value = (prop.namespace == DAV).then(|| self.value(&prop.name)).flatten();
                    match value {
                        Some(value) => put(&mut found, &prop.name, &value),
                        None => put_missing(&mut missing, prop),
                    }
                }
            }
        }
        write!(to, "<D:response><D:href>{}</D:href>", self.href())
            .expect("a string takes all text");
        if !found.is_empty() || missing.is_empty() {
            status(to, &found, "200 OK");
        }
        if !missing.is_empty() {
            status(to, &missing, "404 Not Found");
        }
        to.push_str("</D:response>\n");
    }
}

fn status(to: &mut String, props: &str, status: &str) {
    write!(
        to,
        "<D:propstat><D:prop>{props}</D:prop><D:status>HTTP/1.1 {status}</D:status></D:propstat>"
    )
    .expect("a string takes all text");
}

fn put(to: &mut String, name: &str, value: &str) {
    match value {
        "" => write!(to, "<D:{name}/>"),
        _ => write!(to, "<D:{name}>{value}</D:{name}>"),
    }
    .expect("a string takes all text");
}

fn put_missing(to: &mut String, prop: &Prop) {
    let (name, namespace) = (&prop.name, escape(prop.namespace.as_str()));
    match prop.namespace.as_str() {
        "" => write!(to, "<{name} xmlns=\"\"/>"),
        _ => write!(to, "<P:{name} xmlns:P=\"{namespace}\"/>"),
    }
    .expect("a string takes all text");
}

/// A name as text of XML, with U+FFFD for what XML cannot hold.
fn escaped(name: &[u8]) -> String {
    let fits =
        |character: char| !character.is_control() && !matches!(character, '\u{fffe}' | '\u{ffff}');
    let text: String = String::from_utf8_lossy(name)
        .chars()
        .map(|character| if fits(character) { character } else { '\u{fffd}' })
        .collect();
    escape(text.as_str()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(resource: &Resource, asked: &Asked) -> String {
        let mut text = String::new();
        resource.write(asked, &mut text);
        text
    }

    #[test]
    fn names_of_strangers_stay_names() {
        let names = vec![b"@lab".to_vec(), b"d".to_vec(), b"<a>&\xff\x01\"]]>".to_vec()];
        let text = written(&Resource { names, ..Resource::default() }, &Asked::All);
        assert!(
            text.contains("<D:href>/dav/@lab/d/%3Ca%3E%26%FF%01%22%5D%5D%3E/</D:href>"),
            "{text}"
        );
        assert!(text.contains("&lt;a&gt;&amp;\u{fffd}\u{fffd}&quot;]]&gt;"), "{text}");
        let mut reader = quick_xml::Reader::from_str(&text);
        while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
    }

    #[test]
    fn what_is_not_there_is_said_with_its_name() {
        let prop = |namespace: &str, name: &str| Prop {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let asked = Asked::Props(vec![
            prop(DAV, "getetag"),
            prop("urn:\"<", "a"),
            prop("", "b"),
            prop("urn:x", "getetag"),
        ]);
        let file = Some(File { len: 3, etag: "\"1\"".to_owned(), media_type: "text/plain" });
        let text = written(&Resource { file, ..Resource::default() }, &asked);
        assert!(
            text.contains("<D:getetag>&quot;1&quot;</D:getetag></D:prop><D:status>HTTP/1.1 200")
        );
        assert!(text.contains("<P:a xmlns:P=\"urn:&quot;&lt;\"/><b xmlns=\"\"/>"), "{text}");
        assert!(text.contains("<P:getetag xmlns:P=\"urn:x\"/></D:prop><D:status>HTTP/1.1 404"));
    }
}
