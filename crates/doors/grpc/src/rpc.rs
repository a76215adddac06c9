//! The RPCs and what it takes to call them. One that is not in the table makes the door refuse to be
//! built (ACCESS-1).

use std::collections::BTreeSet;
use std::fmt;

use cairn_access::Action;
use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::error::Error;
use crate::limits::{KV_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX};

/// What an action of an RPC is about. The messages say which resources that are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The project that is named.
    Project,
    /// The dataset or the namespace that is named.
    Dataset,
    /// The datasets that are to be changed.
    Targets,
    /// The dataset that is read for it, if any.
    Source,
    /// The targets of the upload that is named, which must be the caller's.
    Upload,
}

/// An action, and what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The action.
    pub action: Action,
    /// What it is about.
    pub scope: Scope,
}

/// What it takes to call an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Nothing: it says only whether the node lives.
    Open,
    /// No credential, but one that is shown must hold: it describes the API and says nothing of the
    /// bucket.
    Description,
    /// A grant for every rule.
    Needs(&'static [Rule]),
}

/// One RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rpc {
    /// Its path: `/PACKAGE.SERVICE/METHOD`.
    pub path: &'static str,
    /// What it takes.
    pub permission: Permission,
    /// Its uses are too many for a record each, and are counted (ACCESS-9).
    pub counted: bool,
}

macro_rules! needs {
    ($path:literal, $($action:ident $scope:ident),+) => {
        Rpc {
            path: $path,
            permission: Permission::Needs(&[
                $(Rule { action: Action::$action, scope: Scope::$scope }),+
            ]),
            counted: false,
        }
    };
}

macro_rules! counted {
    ($path:literal, $action:ident) => {
        Rpc { counted: true, ..needs!($path, $action Dataset) }
    };
}

const fn described(path: &'static str) -> Rpc {
    Rpc { path, permission: Permission::Description, counted: false }
}

const fn open(path: &'static str) -> Rpc {
    Rpc { path, permission: Permission::Open, counted: false }
}

/// Every RPC of this door.
pub const RPCS: &[Rpc] = &[
    needs!("/cairn.dataset.v1.DatasetAPI/ListDatasets", ListDatasets Project),
    needs!("/cairn.dataset.v1.DatasetAPI/ListTags", ReadDataset Dataset),
    needs!("/cairn.dataset.v1.DatasetAPI/Lookup", ReadDataset Dataset),
    needs!("/cairn.dataset.v1.DatasetAPI/History", ReadDataset Dataset),
    needs!("/cairn.dataset.v1.DatasetAPI/List", ReadDataset Dataset),
    needs!("/cairn.dataset.v1.DatasetAPI/Publish", WriteDataset Targets, ReadDataset Source),
    needs!("/cairn.dataset.v1.DatasetAPI/Push", WriteDataset Targets),
    needs!("/cairn.dataset.v1.DatasetAPI/Follow", ReadDataset Dataset),
    needs!("/cairn.block.v1.BlockAPI/Begin", WriteDataset Targets),
    needs!("/cairn.block.v1.BlockAPI/Missing", WriteDataset Upload),
    needs!("/cairn.block.v1.BlockAPI/Upload", WriteDataset Upload),
    needs!("/cairn.block.v1.BlockAPI/Keep", WriteDataset Upload),
    needs!("/cairn.block.v1.BlockAPI/Abandon", WriteDataset Upload),
    needs!("/cairn.block.v1.BlockAPI/Download", ReadDataset Dataset),
    needs!("/cairn.kv.v1.KvAPI/ListNamespaces", ListDatasets Project),
    needs!("/cairn.kv.v1.KvAPI/GetNamespace", ReadKeys Dataset),
    needs!("/cairn.kv.v1.KvAPI/CreateNamespace", SetNamespace Dataset),
    needs!("/cairn.kv.v1.KvAPI/ChangeNamespace", SetNamespace Dataset),
    needs!("/cairn.kv.v1.KvAPI/RemoveNamespace", RemoveNamespace Dataset),
    counted!("/cairn.kv.v1.KvAPI/Get", ReadKeys),
    counted!("/cairn.kv.v1.KvAPI/Put", WriteKeys),
    counted!("/cairn.kv.v1.KvAPI/Delete", WriteKeys),
    counted!("/cairn.kv.v1.KvAPI/SetTtl", WriteKeys),
    counted!("/cairn.kv.v1.KvAPI/Commit", WriteKeys),
    counted!("/cairn.kv.v1.KvAPI/DeleteRange", WriteKeys),
    counted!("/cairn.kv.v1.KvAPI/Scan", ReadKeys),
    needs!("/cairn.kv.v1.KvAPI/Watch", ReadKeys Dataset),
    counted!("/cairn.kv.v1.KvAPI/Write", WriteKeys),
    counted!("/cairn.function.v1.FunctionAPI/Invoke", InvokeFunction),
    needs!("/cairn.function.v1.FunctionAPI/Begin", InvokeFunction Dataset),
    needs!("/cairn.function.v1.FunctionAPI/Get", InvokeFunction Dataset),
    open("/grpc.health.v1.Health/Check"),
    open("/grpc.health.v1.Health/Watch"),
    described("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
    described("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
];

/// Services whose messages may be large.
const LARGE: [&str; 2] = ["/cairn.kv.v1.KvAPI/", "/cairn.function.v1.FunctionAPI/"];
const WRITE: &str = "/cairn.kv.v1.KvAPI/Write";

impl Rpc {
    /// Whether its messages may have values of keys or inputs of functions, and need room.
    pub(crate) fn is_large(&self) -> bool {
        LARGE.iter().any(|service| self.path.starts_with(service))
    }

    /// Whether its client may rest between messages.
    pub(crate) fn rests(&self) -> bool {
        self.path == WRITE
    }

    /// The longest message that it takes.
    pub(crate) fn message_bytes_max(&self) -> usize {
        if self.is_large() { KV_MESSAGE_BYTES_MAX } else { MESSAGE_BYTES_MAX }
    }
}

/// The RPC with this path.
pub(crate) fn find(path: &str) -> Option<&'static Rpc> {
    RPCS.iter().find(|rpc| rpc.path == path)
}

/// The paths of all RPCs that encoded descriptors have.
///
/// # Errors
/// [`Error::Internal`]: they are none.
pub fn described_paths(descriptors: &[u8]) -> Result<BTreeSet<String>, Error> {
    let set = FileDescriptorSet::decode(descriptors)
        .map_err(|error| Error::Internal { detail: format!("no descriptors: {error}") })?;
    let mut paths = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            paths.extend(service.method.iter().map(|method| format!("/{name}/{}", method.name())));
        }
    }
    Ok(paths)
}

/// Holds the table against what is served.
///
/// # Errors
/// [`Error::NoPermission`] for an RPC without an entry; [`Error::NoRpc`] for an entry without one.
pub(crate) fn check(served: &BTreeSet<String>, table: &[Rpc]) -> Result<(), Error> {
    let said: BTreeSet<&str> = table.iter().map(|rpc| rpc.path).collect();
    if let Some(path) = served.iter().find(|path| !said.contains(path.as_str())) {
        return Err(Error::NoPermission { path: path.clone() });
    }
    let unruled = |rpc: &&Rpc| matches!(rpc.permission, Permission::Needs([]));
    if let Some(rpc) = table.iter().find(unruled) {
        return Err(Error::NoPermission { path: rpc.path.to_owned() });
    }
    match said.iter().find(|path| !served.contains(**path)) {
        Some(path) => Err(Error::NoRpc { path: (*path).to_owned() }),
        None => Ok(()),
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Description => f.write_str("description"),
            Self::Needs(rules) => rules.iter().enumerate().try_for_each(|(at, rule)| {
                let join = if at == 0 { "" } else { " and " };
                write!(f, "{join}{} on {:?}", rule.action, rule.scope)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ACCESS-1: an RPC that the table does not have makes the door refuse to be built.
    #[test]
    fn access_1_an_rpc_without_an_entry_is_refused() {
        let mut served = described_paths(crate::proto::DESCRIPTORS).unwrap();
        assert_eq!(served.len(), 31);
        let ours: Vec<Rpc> =
            RPCS.iter().filter(|rpc| rpc.path.starts_with("/cairn.")).copied().collect();
        check(&served, &ours).unwrap();
        let missing = check(&served, &ours[1..]).unwrap_err();
        assert!(matches!(missing, Error::NoPermission { .. }), "{missing}");
        let empty = [Rpc { permission: Permission::Needs(&[]), ..ours[0] }];
        let empty: Vec<Rpc> = empty.iter().chain(&ours[1..]).copied().collect();
        assert!(matches!(check(&served, &empty), Err(Error::NoPermission { .. })));
        served.pop_first();
        assert!(matches!(check(&served, &ours), Err(Error::NoRpc { .. })));
    }
}
