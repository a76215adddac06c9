//! Functions and routes to them.

use cairn_functions::{Auth, Info, Line, Release, RouteInfo};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schema;

/// A page of functions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionPage {
    /// Those of this page, by name.
    #[schema(value_type = Vec<schema::Function>)]
    pub functions: Vec<Info>,
    /// `?after=` of the next page; none on the last.
    pub next: Option<String>,
}

/// The releases of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleasePage {
    /// The newest first.
    #[schema(value_type = Vec<schema::Release>)]
    pub releases: Vec<Release>,
}

/// Which release is to answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChooseRelease {
    /// Its number.
    #[schema(minimum = 1)]
    pub release: u32,
}

/// The last lines that a function wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// In their order.
    #[schema(value_type = Vec<schema::LogLine>)]
    pub lines: Vec<Line>,
}

/// A route to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddRoute {
    /// Which requests it is for: `[METHOD ][HOST]/PATH`, with `{name}` for a segment of the path and `{*name}` for
    /// all that is left.
    #[schema(max_length = 1024)]
    pub pattern: String,
    /// Whether callers show a credential of the cluster (`cairn`, when not given), or none (`none`): then nobody
    /// in particular must be an invoker of the function.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(cairn|none)$")]
    pub auth: Option<Auth>,
}

/// The routes of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoutePage {
    /// By pattern.
    #[schema(value_type = Vec<schema::FunctionRoute>)]
    pub routes: Vec<RouteInfo>,
}
