//! The parts of a request path.
//!
//! Paths are bytes: a name inside a version need not be UTF-8. So the raw path is matched with the
//! route's pattern here, and each part is decoded once.

use cairn_base::{DatasetName, ProjectName, TagName};
use cairn_datasets::{Dataset, EditId, Target, UploadId};
use percent_encoding::percent_decode_str;

use crate::error::Error;
use crate::limits::DEPTH_MAX;

/// What stands in a path for the `{parameters}` of its pattern, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    named: Vec<(&'static str, Vec<u8>)>,
    tail: Vec<Vec<u8>>,
    /// A key: all that stands for `{*key}`, decoded once.
    key: Vec<u8>,
    /// Whether the path ends with a slash.
    slash: bool,
}

impl Args {
    /// Matches a raw path with a pattern; they are known to fit.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a part that is no name: `.`, `..`, or with an encoded slash or NUL.
    pub fn parse(pattern: &'static str, path: &str) -> Result<Self, Error> {
        let mut args = Self { slash: path.ends_with('/'), ..Self::default() };
        let mut parts = path.split('/');
        for wanted in pattern.split('/') {
            let Some(name) = wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}'))
            else {
                parts.next();
                continue;
            };
            if name == "*key" {
                // It is no path: any bytes are a key, slashes too.
                let rest: Vec<&str> = parts.by_ref().collect();
                args.key = percent_decode_str(&rest.join("/")).collect();
                break;
            }
            if name.starts_with('*') {
                args.tail = parts.by_ref().filter(|p| !p.is_empty()).map(decode).collect::<Result<
                    Vec<_>,
                    Error,
                >>(
                )?;
                if args.tail.len() > DEPTH_MAX {
                    return Err(Error::invalid(format!("a path has at most {DEPTH_MAX} names")));
                }
                break;
            }
            args.named.push((name, decode(parts.next().unwrap_or_default())?));
        }
        Ok(args)
    }

    fn get(&self, name: &'static str) -> Result<&str, Error> {
        let found = self.named.iter().find(|(known, _)| *known == name);
        let bytes = found.map(|(_, value)| value.as_slice()).ok_or_else(|| Error::Internal {
            detail: format!("the route has no parameter {name}"),
        })?;
        std::str::from_utf8(bytes)
            .map_err(|_| Error::invalid(format!("the {name} in the path is not UTF-8")))
    }

    /// `{project}`.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn project(&self) -> Result<ProjectName, Error> {
        Ok(self.get("project")?.parse()?)
    }

    /// `{project}` and `{name}`.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn dataset(&self) -> Result<Dataset, Error> {
        let name: DatasetName = self.get("name")?.parse()?;
        Ok(Dataset { project: self.project()?, name })
    }

    /// `{project}`, `{name}` and `{tag}`.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn target(&self) -> Result<Target, Error> {
        Ok(Target { dataset: self.dataset()?, tag: self.tag("tag")? })
    }

    /// The tag in this parameter.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn tag(&self, name: &'static str) -> Result<TagName, Error> {
        Ok(self.get(name)?.parse()?)
    }

    /// `{upload}`.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn upload(&self) -> Result<UploadId, Error> {
        UploadId::from_hex(self.get("upload")?)
            .ok_or_else(|| Error::invalid("an upload id has 32 hexadecimal digits"))
    }

    /// `{edit}`.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn edit(&self) -> Result<EditId, Error> {
        EditId::from_hex(self.get("edit")?)
            .ok_or_else(|| Error::invalid("the id of an edit has 32 hexadecimal digits"))
    }

    /// `{id}` as text.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn id(&self) -> Result<&str, Error> {
        self.get("id")
    }

    /// The bytes of `{*key}`.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The names of `{*path}`.
    #[must_use]
    pub fn tail(&self) -> &[Vec<u8>] {
        &self.tail
    }

    /// Whether the path ends with a slash.
    #[must_use]
    pub fn ends_with_slash(&self) -> bool {
        self.slash
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Error> {
    let bytes: Vec<u8> = percent_decode_str(part).collect();
    if bytes == b"." || bytes == b".." || bytes.iter().any(|byte| matches!(byte, 0 | b'/')) {
        let detail =
            format!("{part:?} is no name; a path does not climb, and %2F is no part of one");
        return Err(Error::invalid(detail));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_once_and_stay_names() {
        let args = Args::parse("/fs/{*path}", "/fs/data/v1/a%20b//%ff%2541/").unwrap();
        let tail: [&[u8]; 4] = [b"data", b"v1", b"a b", b"\xff%41"];
        assert_eq!(args.tail(), tail);
        assert!(args.ends_with_slash());
        for bad in ["/fs/a/..", "/fs/a/%2e%2E/b", "/fs/a/b%2fc", "/fs/%00", "/fs/./a"] {
            assert!(matches!(Args::parse("/fs/{*path}", bad), Err(Error::Invalid { .. })), "{bad}");
        }
    }

    #[test]
    fn a_key_is_any_bytes() {
        let pattern = "/api/v1/kv/{project}/{name}/keys/{*key}";
        for (text, key) in [
            ("a", &b"a"[..]),
            ("a/b//c/", b"a/b//c/"),
            ("a%2Fb%00%ff%25", b"a/b\0\xff%"),
            ("..", b".."),
            ("%2e%2E/x", b"../x"),
        ] {
            let path = format!("/api/v1/kv/main/carts/keys/{text}");
            let args = Args::parse(pattern, &path).unwrap();
            assert_eq!((args.key(), args.dataset().unwrap().name.as_str()), (key, "carts"));
        }
    }

    #[test]
    fn parameters_are_found_by_position() {
        let pattern = "/api/v1/projects/{project}/datasets/{name}/tags/{tag}";
        let args = Args::parse(pattern, "/api/v1/projects/lab/datasets/d.1/tags/v2").unwrap();
        assert_eq!(args.target().unwrap().to_string(), "@lab/d.1:v2");
        let args = Args::parse(pattern, "/api/v1/projects/%40lab/datasets/d/tags/%ff").unwrap();
        assert!(matches!(args.project(), Err(Error::Name(_))));
        assert!(matches!(args.tag("tag"), Err(Error::Invalid { .. })));
    }
}
