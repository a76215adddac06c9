//! Routes and what it takes to use them. There is one way to make a route, and a route that does not
//! say its permission makes the door refuse to be built (ACCESS-1).

use std::fmt;

use axum::http::Method;
use axum::response::Response;
use cairn_access::{Action, Resource};
use futures::future::BoxFuture;

use crate::args::Args;
use crate::call::Call;
use crate::error::Error;
use crate::limits::JSON_BYTES_MAX;
use crate::openapi::Doc;

/// What answers a request that was let through.
pub type Handler = fn(Call) -> BoxFuture<'static, Result<Response, Error>>;
/// Reads resources out of a body, before its handler sees it.
pub type BodyResources = fn(&Args, &[u8]) -> Result<Vec<Resource>, Error>;

/// The paths that may be asked for without any question: they say only whether the node lives.
pub const PUBLIC: [&str; 2] = ["/livez", "/readyz"];
/// The paths that describe the API, and those of the web console. What they answer comes from the program
/// alone: it is the same on every node of a release, and knows neither the bucket nor who asks.
pub const DESCRIPTION: [&str; 7] = [
    "/",
    "/api/openapi.json",
    "/api/docs",
    "/api/docs/{*path}",
    "/console",
    "/console/",
    "/console/{*path}",
];

/// The paths by which one becomes known: they look at no credential that is shown, for a browser
/// shows an old one too.
pub const LOGIN: [&str; 10] = [
    "/auth/login",
    "/auth/start/{id}",
    "/auth/callback",
    "/auth/logout",
    "/api/v1/login",
    "/api/v1/login/password",
    "/api/v1/login/device/{id}",
    "/api/v1/login/device/{id}/poll",
    "/api/v1/cluster/authority",
    "/api/v1/cluster/join",
];

/// What an action of a route is about.
#[derive(Clone, Copy)]
pub enum Scope {
    /// Everything.
    Cluster,
    /// The `{project}` of the path.
    Project,
    /// The `{project}` and `{name}` of the path.
    Dataset,
    /// The targets of the upload `{upload}`, which must be the caller's.
    Upload,
    /// The target of the edit `{edit}`, which must be the caller's.
    Edit,
    /// What a path below `/fs/` names: a project, or a dataset.
    Fs,
    /// What the body names.
    Body(BodyResources),
    /// What the grant `{id}` is about.
    Grant,
    /// Tokens: everybody's, or for who may not have that, the caller's own.
    Tokens,
}

/// An action, and what it is about.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The action.
    pub action: Action,
    /// What it is about.
    pub scope: Scope,
}

/// What it takes to use a route.
#[derive(Clone, Copy, Debug)]
pub enum Permission {
    /// Nothing; only for [`PUBLIC`].
    Public,
    /// No credential, but one that is shown must hold; only for [`DESCRIPTION`]. Its handler gets
    /// no access state.
    Description,
    /// Nothing, and what is shown is not looked at; only for [`LOGIN`].
    Login,
    /// A credential that holds.
    SignedIn,
    /// A grant for every rule.
    Needs(&'static [Rule]),
}

/// What a route does to what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes something: that is in the audit log before it is done, and before it is acknowledged.
    Change,
    /// It changes something, and its handler tells the audit log before and after: for an answer that is
    /// begun before the change is done.
    TellingChange,
    /// It reads or changes keys, of which so much is done that it is counted instead of recorded each time
    /// (ACCESS-9). It has one rule, and its handler tells what came of a change.
    Counted,
    /// Nothing that lasts or is seen: it reads, or prepares what a change makes visible.
    Nothing,
}

/// One method on one path.
#[derive(Clone)]
pub struct Route {
    pub(crate) method: Method,
    pub(crate) pattern: &'static str,
    pub(crate) permission: Option<Permission>,
    pub(crate) handler: Handler,
    pub(crate) body_max: usize,
    pub(crate) effect: Effect,
    /// Whether its requests have places of their own, because they last.
    pub(crate) lasting: bool,
    pub(crate) doc: Doc,
}

impl Route {
    /// A route that nobody may use yet. A GET answers HEAD too. What is no safe method, as RFC 9110 and
    /// RFC 4918 call them, is taken for a change until [`Route::changes_nothing`].
    #[must_use]
    pub fn new(method: Method, pattern: &'static str, handler: Handler) -> Self {
        let reads = method.is_safe() || method.as_str() == "PROPFIND";
        let effect = if reads { Effect::Nothing } else { Effect::Change };
        let (permission, body_max, doc) = (None, JSON_BYTES_MAX, Doc::default());
        let lasting = false;
        Self { method, pattern, permission, handler, body_max, effect, lasting, doc }
    }

    /// Says that it changes nothing, whatever its method.
    #[must_use]
    pub fn changes_nothing(self) -> Self {
        Self { effect: Effect::Nothing, ..self }
    }

    /// Says that its handler records the change itself, by [`cairn_access::Visit::change`].
    #[must_use]
    pub fn records_itself(self) -> Self {
        Self { effect: Effect::TellingChange, ..self }
    }

    /// Says that its uses are counted, whatever its method.
    #[must_use]
    pub fn counted(self) -> Self {
        Self { effect: Effect::Counted, ..self }
    }

    /// Says what it takes to use it.
    #[must_use]
    pub fn permission(self, permission: Permission) -> Self {
        // Who logs in is not known yet: what comes of it `Access` records itself.
        let login = matches!(permission, Permission::Login);
        let effect = if login { Effect::Nothing } else { self.effect };
        Self { permission: Some(permission), effect, ..self }
    }

    /// Takes bodies of this many bytes instead of [`JSON_BYTES_MAX`].
    #[must_use]
    pub fn body_max(self, body_max: usize) -> Self {
        Self { body_max, ..self }
    }

    /// Takes places of followers instead of those of requests
    /// ([`FOLLOWERS_MAX`](crate::limits::FOLLOWERS_MAX)).
    #[must_use]
    pub fn lasting(self) -> Self {
        Self { lasting: true, ..self }
    }

    /// Says what it is for.
    #[must_use]
    pub fn doc(self, doc: Doc) -> Self {
        Self { doc, ..self }
    }

    pub(crate) fn check(&self) -> Result<Permission, Error> {
        let method = self.method.to_string();
        match self.permission {
            None => Err(Error::NoPermission { method, pattern: self.pattern }),
            Some(Permission::Public) if !PUBLIC.contains(&self.pattern) => {
                let reason = "only livez and readyz are public";
                Err(Error::Route { method, pattern: self.pattern, reason })
            }
            Some(Permission::Description) if !DESCRIPTION.contains(&self.pattern) => {
                let reason = "only what comes from the program alone is readable by everybody";
                Err(Error::Route { method, pattern: self.pattern, reason })
            }
            Some(Permission::Login) if !LOGIN.contains(&self.pattern) => {
                let reason = "only what logs in looks at no credential";
                Err(Error::Route { method, pattern: self.pattern, reason })
            }
            Some(Permission::Needs([])) => {
                let reason = "its list of rules is empty";
                Err(Error::Route { method, pattern: self.pattern, reason })
            }
            Some(permission)
                if self.effect == Effect::Counted
                    && !matches!(permission, Permission::Needs([_])) =>
            {
                let reason = "it is counted, and has not one rule";
                Err(Error::Route { method, pattern: self.pattern, reason })
            }
            // A change has somebody who makes it.
            Some(Permission::Public | Permission::Description)
                if self.effect != Effect::Nothing =>
            {
                let reason = "it changes something, and nobody is asked who";
                Err(Error::Route { method, pattern: self.pattern, reason })
            }
            Some(permission) => Ok(permission),
        }
    }
}

/// A route as others may see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteInfo {
    /// Its method.
    pub method: String,
    /// Its pattern, with `{parameters}`.
    pub pattern: &'static str,
    /// What it takes, in words: `public`, `description`, `login`, `signed_in`, or `action on scope` joined by
    /// ` and `.
    pub permission: String,
    /// Whether it changes something, and is recorded before and after.
    pub changes: bool,
    /// Whether its uses are counted instead.
    pub counted: bool,
}

impl Route {
    /// The route as others may see it.
    #[must_use]
    pub fn info(&self) -> RouteInfo {
        let permission = self.permission.map_or_else(|| "none".to_owned(), |p| p.to_string());
        let changes = matches!(self.effect, Effect::Change | Effect::TellingChange);
        let (method, counted) = (self.method.to_string(), self.effect == Effect::Counted);
        RouteInfo { method, pattern: self.pattern, permission, changes, counted }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("public"),
            Self::Description => f.write_str("description"),
            Self::Login => f.write_str("login"),
            Self::SignedIn => f.write_str("signed_in"),
            Self::Needs(rules) => rules.iter().enumerate().try_for_each(|(at, rule)| {
                let join = if at == 0 { "" } else { " and " };
                write!(f, "{join}{} on {:?}", rule.action, rule.scope)
            }),
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::Project => "project",
            Self::Dataset => "dataset",
            Self::Upload => "upload",
            Self::Edit => "edit",
            Self::Fs => "path",
            Self::Body(_) => "body",
            Self::Grant => "grant",
            Self::Tokens => "tokens",
        })
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.info())
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $($action:ident $scope:ident),+;)*) => {
        $($(#[$doc])* pub const $name: Permission = Permission::Needs(&[
            $(Rule { action: Action::$action, scope: Scope::$scope }),+
        ]);)*
    };
}

rules! {
    /// To list datasets of the project in the path.
    LIST = ListDatasets Project;
    /// To read anything at all.
    LOOK = ListDatasets Cluster;
    /// To read the dataset in the path.
    READ = ReadDataset Dataset;
    /// To write the dataset in the path.
    WRITE = WriteDataset Dataset;
    /// To delete in the dataset in the path.
    DELETE = DeleteDataset Dataset;
    /// To change the rules of the dataset in the path.
    RETAIN = SetRetention Dataset;
    /// To write the targets of the upload in the path.
    UPLOAD = WriteDataset Upload;
    /// To write the target of the edit in the path.
    EDIT = WriteDataset Edit;
    /// To read what a path below `/fs/` names.
    BROWSE = ReadDataset Fs;
    /// To read keys of the namespace in the path.
    READ_KEYS = ReadKeys Dataset;
    /// To change keys of the namespace in the path.
    WRITE_KEYS = WriteKeys Dataset;
    /// To make the namespace in the path, or to change its settings.
    SET_NAMESPACE = SetNamespace Dataset;
    /// To remove the namespace in the path.
    REMOVE_NAMESPACE = RemoveNamespace Dataset;
    /// To read the function in the path.
    READ_FUNCTION = ReadFunction Dataset;
    /// To deploy the function in the path.
    DEPLOY_FUNCTION = DeployFunction Dataset;
    /// To remove the function in the path.
    REMOVE_FUNCTION = RemoveFunction Dataset;
    /// To call the function in the path.
    INVOKE_FUNCTION = InvokeFunction Dataset;
    /// To read numbers about the node.
    METRICS = ReadMetrics Cluster;
    /// To maintain the bucket.
    MAINTAIN = Maintain Cluster;
    /// To manage access.
    ACCESS = ManageAccess Cluster;
    /// To list the grants that the caller may give and take back.
    GRANTS = ListGrants Cluster;
    /// To take back the grant in the path.
    TAKE_BACK = ManageGrants Grant;
    /// To deal with tokens of one's own, or with everybody's.
    TOKENS = ManageOwnTokens Tokens;
    /// To read the audit log.
    AUDIT = ReadAudit Cluster;
}
