//! What a PROPFIND asks for. Its XML comes from strangers: it is bounded, read without recursion, and
//! what is no XML with namespaces is refused.

use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;

use crate::error::Error;
use crate::limits::PROPFIND_PROPS_MAX;

/// The namespace of WebDAV.
pub(super) const DAV: &str = "DAV:";

/// The namespaces of the prefixes `xml` and `xmlns`: an answer could not declare them by another one
/// (Namespaces in XML 1.0, section 3).
const RESERVED: [&[u8]; 2] =
    [b"http://www.w3.org/XML/1998/namespace", b"http://www.w3.org/2000/xmlns/"];

/// A property's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prop {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// Which properties are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All that there are.
    All,
    /// The names of all.
    Names,
    /// These.
    Props(Vec<Prop>),
}

fn bad(why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("the body is no propfind of RFC 4918: {why}"))
}

/// Reads the body of a PROPFIND; an empty one asks for all.
pub(super) fn parse(body: &[u8]) -> Result<Asked, Error> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Asked::All);
    }
    let text = std::str::from_utf8(body).map_err(|_| bad("it is not UTF-8"))?;
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let (mut depth, mut roots, mut asked) = (0u32, 0, None);
    let mut in_prop = false;
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(bad)?;
        match event {
            Event::Start(start) => {
                check_attributes(&start)?;
                let prop = named(&namespace, &start)?;
                let ours = prop.namespace == DAV;
                match (depth, prop.name.as_str()) {
                    (0, "propfind") if ours => roots += 1,
                    (0, _) => return Err(bad("its root is not DAV:propfind")),
                    (1, "allprop" | "propname" | "prop") if ours => {
                        if asked.is_some() {
                            return Err(bad("it asks for two things"));
                        }
                        in_prop = prop.name == "prop";
                        asked = Some(match prop.name.as_str() {
                            "allprop" => Asked::All,
                            "propname" => Asked::Names,
                            _ => Asked::Props(Vec::new()),
                        });
                    }
                    (2, _) if in_prop => take(&mut asked, prop)?,
                    _ => {}
                }
                depth += 1;
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                in_prop &= depth > 1;
            }
            Event::DocType(_) => return Err(bad("it has a document type")),
            Event::Text(text) if depth == 0 && !text.iter().all(u8::is_ascii_whitespace) => {
                return Err(bad("there is text beside the root"));
            }
            Event::Eof => break,
            _ => {}
        }
    }
    match asked {
        Some(asked) if depth == 0 && roots == 1 => Ok(asked),
        _ => Err(bad("it is not whole, or asks for nothing")),
    }
}

fn take(asked: &mut Option<Asked>, prop: Prop) -> Result<(), Error> {
    if let Some(Asked::Props(props)) = asked {
        if props.len() >= PROPFIND_PROPS_MAX {
            return Err(bad(format!("it asks for more than {PROPFIND_PROPS_MAX} properties")));
        }
        if !props.contains(&prop) {
            props.push(prop);
        }
    }
    Ok(())
}

fn named(namespace: &ResolveResult<'_>, start: &BytesStart<'_>) -> Result<Prop, Error> {
    let namespace = match namespace {
        ResolveResult::Bound(namespace) if RESERVED.contains(&namespace.into_inner()) => {
            return Err(bad("a name is in a reserved namespace"));
        }
        ResolveResult::Bound(namespace) => text(namespace.into_inner())?,
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(_) => return Err(bad("a prefix has no namespace")),
    };
    let name = text(start.local_name().into_inner())?;
    let first = name.chars().next();
    let begins = |first: char| first.is_alphabetic() || first == '_';
    let goes_on = |next: char| next.is_alphanumeric() || "._-".contains(next);
    if !first.is_some_and(begins) || !name.chars().all(goes_on) {
        return Err(bad("an element's name is none"));
    }
    Ok(Prop { namespace, name })
}

fn text(bytes: &[u8]) -> Result<String, Error> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| bad("it is not UTF-8"))
}

/// Each attribute once, and no prefix that stands for nothing (Namespaces in XML 1.0, section 5).
fn check_attributes(start: &BytesStart<'_>) -> Result<(), Error> {
    for attribute in start.attributes() {
        let attribute = attribute.map_err(bad)?;
        if attribute.key.as_ref().starts_with(b"xmlns:") && attribute.value.is_empty() {
            return Err(bad("a prefix stands for nothing"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prop(namespace: &str, name: &str) -> Prop {
        Prop { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn what_clients_ask_for_is_understood() {
        for (body, asked) in [
            ("", Asked::All),
            ("  \r\n", Asked::All),
            ("<propfind xmlns='DAV:'><allprop/></propfind>", Asked::All),
            (
                "<?xml version='1.0'?><D:propfind xmlns:D=\"DAV:\"><D:propname/></D:propfind>",
                Asked::Names,
            ),
            (
                "<a:propfind xmlns:a='DAV:'><a:allprop/><a:include><a:x/></a:include></a:propfind>",
                Asked::All,
            ),
            (
                "<propfind xmlns='DAV:'><prop><getetag/><x:y xmlns:x='urn:z'>t<q/></x:y>\
                 <n xmlns=''/><getetag></getetag></prop></propfind>",
                Asked::Props(vec![prop(DAV, "getetag"), prop("urn:z", "y"), prop("", "n")]),
            ),
        ] {
            assert_eq!(parse(body.as_bytes()).unwrap(), asked, "{body}");
        }
    }

    proptest! {
        /// Whatever comes ends in what is asked for or in an error, and what is asked for can be
        /// written into an answer that is XML.
        #[test]
        fn any_bytes_end_in_an_answer(
            parts in prop::collection::vec(prop_oneof![
                Just("<propfind xmlns='DAV:'>"), Just("<prop>"), Just("</prop>"), Just("</propfind>"),
                Just("<a:b xmlns:a='x&amp;y'/>"), Just("<é/>"), Just("<![CDATA[x]]>"), Just("&lt;"),
                Just("<!-- x -->"), Just("<?x y?>"), Just("<allprop/>"), Just("<"), Just(">"), Just("\0"),
            ], 0..12),
            tail in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut body = parts.concat().into_bytes();
            body.extend(tail);
            crate::fuzzing::propfind(&parts.concat().into_bytes());
            crate::fuzzing::propfind(&body);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let many: String = (0..200).map(|at| format!("<p{at}/>")).collect();
        let many = format!("<propfind xmlns='DAV:'><prop>{many}</prop></propfind>");
        for body in [
            "<foo>",
            "hello",
            "<propfind/>",
            "<propfind xmlns='DAV:'/>",
            "<propfind xmlns='DAV:'><prop>",
            "<propfind xmlns='DAV:'><prop></propfind>",
            "<propfind xmlns='DAV:'><prop/><allprop/></propfind>",
            "<propfind xmlns='DAV:'><allprop/></propfind><propfind xmlns='DAV:'><allprop/></propfind>",
            "<propfind xmlns='DAV:'><prop><x:y/></prop></propfind>",
            "<D:propfind xmlns:D='DAV:'><D:prop><b:a xmlns:b=''/></D:prop></D:propfind>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><propfind xmlns='DAV:'><allprop/></propfind>",
            "<propfind xmlns='DAV:'><prop><a\"b/></prop></propfind>",
            "<propfind xmlns='DAV:'><prop><a b='1' b='2'/></prop></propfind>",
            "<propfind xmlns='DAV:'><prop><xmlns:a/></prop></propfind>",
            "<propfind xmlns='DAV:'><prop><xml:a/></prop></propfind>",
            many.as_str(),
        ] {
            crate::fuzzing::propfind(body.as_bytes());
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(parse(b"<propfind xmlns='DAV:'><prop><a\xff/></prop></propfind>").is_err());
        // Deep nesting costs no stack.
        let deep = format!("{}{}", "<a>".repeat(9000), "</a>".repeat(9000));
        let deep = format!("<propfind xmlns='DAV:'><prop>{deep}</prop></propfind>");
        assert_eq!(parse(deep.as_bytes()).unwrap(), Asked::Props(vec![prop(DAV, "a")]));
    }
}
