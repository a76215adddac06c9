//! How functions are kept: rows of a namespace of keys in each project, which only this engine reaches.
//!
//! | key | value |
//! |---|---|
//! | `function/NAME` | [`FunctionRow`], JSON |
//! | `release/NAME/NUMBER` | [`crate::Release`], JSON; the number in ten digits |
//! | `compiling/NAME/NUMBER` | nothing: a release whose state is not decided |
//! | `uses/DIGEST/NAME/NUMBER` | nothing: a release with this component |
//! | `code/DIGEST` | a component |
//! | `route/SHAPE` | [`RouteRow`], JSON; the shape is its pattern without names |

use bytes::Bytes;
use cairn_base::{DatasetName, ProjectName};
use cairn_kv::Namespace;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::model::Auth;
use crate::routes::Pattern;

/// The name of the namespace.
pub(crate) const NAME: &str = "cairn.functions";

/// A function: which of its releases answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FunctionRow {
    pub(crate) current: Option<u32>,
    pub(crate) newest: u32,
    pub(crate) made_ms: u64,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RouteRow {
    pub(crate) pattern: String,
    pub(crate) function: String,
    pub(crate) auth: Auth,
    pub(crate) made_ms: u64,
    pub(crate) by: String,
}

pub(crate) fn namespace(project: &ProjectName) -> Namespace {
    let name = NAME.parse().expect("it is a name of a dataset");
    Namespace { project: project.clone(), name }
}

pub(crate) const FUNCTIONS: &str = "function/";
pub(crate) const ROUTES: &str = "route/";
pub(crate) const COMPILING: &str = "compiling/";

pub(crate) fn function(name: &DatasetName) -> String {
    format!("{FUNCTIONS}{name}")
}

pub(crate) fn releases(name: &DatasetName) -> String {
    format!("release/{name}/")
}

pub(crate) fn release(name: &DatasetName, number: u32) -> String {
    format!("release/{name}/{number:010}")
}

pub(crate) fn compiling(name: &DatasetName, number: u32) -> String {
    format!("{COMPILING}{name}/{number:010}")
}

pub(crate) fn code(digest: &str) -> String {
    format!("code/{digest}")
}

pub(crate) fn uses(digest: &str) -> String {
    format!("uses/{digest}/")
}

pub(crate) fn used(digest: &str, name: &DatasetName, number: u32) -> String {
    format!("uses/{digest}/{name}/{number:010}")
}

pub(crate) fn route(pattern: &Pattern) -> String {
    format!("{ROUTES}{}", pattern.shape())
}

/// The name and number at the end of a key.
pub(crate) fn numbered(rest: &str) -> Option<(DatasetName, u32)> {
    let (name, number) = rest.split_once('/')?;
    Some((name.parse().ok()?, number.parse().ok()?))
}

pub(crate) fn encode<T: Serialize>(row: &T) -> Bytes {
    serde_json::to_vec(row).expect("rows are plain data").into()
}

pub(crate) fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value)
        .map_err(|error| Error::Row { key: key.to_owned(), why: error.to_string() })
}
