use cairn_base::{DatasetName, ProjectName, TagName};
use cairn_datasets::Dataset;

use crate::error::Error;

/// What a path below `/fs/` names: `[@PROJECT/][NAME[/TAG[/path]]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) project: ProjectName,
    pub(crate) name: Option<DatasetName>,
    pub(crate) tag: Option<TagName>,
    /// Names inside the version.
    pub(crate) path: Vec<Vec<u8>>,
}

impl Location {
    /// Reads decoded names.
    pub(crate) fn parse(names: &[Vec<u8>]) -> Result<Self, Error> {
        let mut names = names.iter().peekable();
        let project = match names.peek().and_then(|first| first.strip_prefix(b"@")) {
            None => ProjectName::default(),
            Some(project) => {
                names.next();
                text(project)?.parse()?
            }
        };
        let name = names.next().map(|name| Ok::<_, Error>(text(name)?.parse()?)).transpose()?;
        let tag = names.next().map(|tag| Ok::<_, Error>(text(tag)?.parse()?)).transpose()?;
        Ok(Self { project, name, tag, path: names.cloned().collect() })
    }

    pub(crate) fn dataset(&self) -> Option<Dataset> {
        let name = self.name.clone()?;
        Some(Dataset { project: self.project.clone(), name })
    }
}

fn text(name: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(name).map_err(|_| Error::invalid("projects, datasets and tags are UTF-8"))
}
