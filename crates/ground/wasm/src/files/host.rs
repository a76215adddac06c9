//! `wasi:filesystem` for guests, on [`super::Files`] and what a program was called with.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult, ReaddirIterator};

use self::types::{DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, OpenFlags};
use super::streams::{FileStream, OutputFile};
use super::{Called, File, FileError, Found, Listed, Tree, below, tops, web};
use crate::guest::Guest;

/// Bytes that are read at a time.
const READ_BYTES_MAX: usize = 1 << 20;

/// The bindings name the resources of another implementation, and look at none: only the numbers are the same.
type Fd = Resource<Descriptor>;
type Entries = Resource<ReaddirIterator>;

/// What a guest has open.
struct Open {
    /// What it is told apart by.
    path: String,
    node: Node,
}

#[derive(Clone)]
enum Node {
    Folder(Tree, String),
    File(Arc<dyn File>),
    Output(Arc<Called>),
}

/// A folder that is read.
struct Reading {
    tree: Tree,
    path: String,
    ready: VecDeque<Listed>,
    after: Option<String>,
}

pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    preopens::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

fn code(error: &FileError) -> ErrorCode {
    match error {
        FileError::NotFound => ErrorCode::NoEntry,
        FileError::Denied => ErrorCode::Access,
        FileError::NoFolder => ErrorCode::NotDirectory,
        FileError::Seek => ErrorCode::InvalidSeek,
        FileError::Other(_) => ErrorCode::Io,
    }
}

fn read_only<T>() -> FsResult<T> {
    Err(ErrorCode::ReadOnly.into())
}

impl Node {
    fn kind(&self) -> DescriptorType {
        match self {
            Self::Folder(..) => DescriptorType::Directory,
            Self::File(_) | Self::Output(_) => DescriptorType::RegularFile,
        }
    }

    async fn stat(self) -> DescriptorStat {
        let (size, modified) = match &self {
            Self::Folder(..) => (0, None),
            Self::File(file) => (file.size().await.unwrap_or(0), file.modified()),
            Self::Output(called) => (called.written.load(Ordering::Relaxed), None),
        };
        let modified =
            modified.map(|at| Datetime { seconds: at.as_secs(), nanoseconds: at.subsec_nanos() });
        DescriptorStat {
            type_: self.kind(),
            link_count: 1,
            size,
            data_access_timestamp: None,
            data_modification_timestamp: modified,
            status_change_timestamp: None,
        }
    }

    fn file(&self) -> FsResult<&Arc<dyn File>> {
        match self {
            Self::File(file) => Ok(file),
            Self::Folder(..) => Err(ErrorCode::IsDirectory.into()),
            Self::Output(_) => Err(ErrorCode::NotPermitted.into()),
        }
    }

    fn output(&self) -> FsResult<&Arc<Called>> {
        match self {
            Self::Output(called) => Ok(called),
            Self::Folder(..) => Err(ErrorCode::IsDirectory.into()),
            Self::File(_) => Err(ErrorCode::NotPermitted.into()),
        }
    }
}

fn hash(path: &str) -> types::MetadataHashValue {
    let hash = blake3::hash(path.as_bytes());
    let half = |at: usize| hash.as_bytes()[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
    types::MetadataHashValue { lower: half(0), upper: half(8) }
}

fn address(scheme: &str, path: &str) -> String {
    format!("{scheme}://{}", path.trim_start_matches('/'))
}

/// An input or the output by its name.
fn called(call: &Arc<Called>, path: &str) -> Result<Node, FileError> {
    let input = |number: usize| {
        call.inputs.get(number).map(|file| Node::File(Arc::clone(file))).ok_or(FileError::NotFound)
    };
    match path {
        "" => Ok(Node::Folder(Tree::Called(Arc::clone(call)), String::new())),
        "output" => Ok(Node::Output(Arc::clone(call))),
        "input" => input(0),
        path => {
            let number = path.strip_prefix("input/").and_then(|number| number.parse().ok());
            input(number.ok_or(FileError::NotFound)?)
        }
    }
}

impl Guest {
    fn looked(&self, fd: &Fd) -> FsResult<&Open> {
        Ok(self.table.get(&Resource::<Open>::new_borrow(fd.rep()))?)
    }

    fn open(&mut self, open: Open) -> FsResult<Fd> {
        Ok(Resource::new_own(self.table.push(open)?.rep()))
    }

    /// What is at a path below a folder.
    async fn at(&mut self, fd: &Fd, path: &str) -> FsResult<Open> {
        let open = self.looked(fd)?;
        let Node::Folder(tree, folder) = open.node.clone() else {
            return Err(ErrorCode::NotDirectory.into());
        };
        if path.contains('\0') {
            return Err(ErrorCode::Invalid.into());
        }
        let (path, found) = match tree {
            Tree::Web(scheme) => {
                let url = address(scheme, path);
                let file = web::open(&mut self.outbound, &url).await;
                (url, file.map(|file| Node::File(Arc::new(file))))
            }
            tree => {
                let path = below(&folder, path).ok_or(ErrorCode::NotPermitted)?;
                let found = match &tree {
                    Tree::Called(call) => called(call, &path),
                    Tree::Given(files) => files.find(&path).await.map(|found| match found {
                        Found::Folder => Node::Folder(tree.clone(), path.clone()),
                        Found::File(file) => Node::File(file),
                    }),
                    Tree::Web(_) => Err(FileError::NotFound),
                };
                let top = if matches!(tree, Tree::Given(_)) { "data" } else { "api" };
                (format!("{top}://{path}"), found)
            }
        };
        let node = found.map_err(|error| {
            if let FileError::Other(why) = &error {
                self.say(&format!("{path} is not read: {why}"));
            }
            FsError::from(code(&error))
        })?;
        Ok(Open { path, node })
    }
}

impl preopens::Host for Guest {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        let mut all = Vec::new();
        for (name, tree) in tops(self.called.as_ref(), &self.files) {
            let open = Open { path: name.clone(), node: Node::Folder(tree, String::new()) };
            all.push((Resource::new_own(self.table.push(open)?.rep()), name));
        }
        Ok(all)
    }
}

impl types::Host for Guest {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        let error = self.table.get(&error)?;
        Ok(error.downcast_ref::<std::io::Error>().map(ErrorCode::from))
    }
}

impl types::HostDescriptor for Guest {
    async fn advise(&mut self, _: Fd, _: u64, _: u64, _: types::Advice) -> FsResult<()> {
        Ok(())
    }

    async fn sync_data(&mut self, _: Fd) -> FsResult<()> {
        Ok(())
    }

    async fn sync(&mut self, _: Fd) -> FsResult<()> {
        Ok(())
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<DescriptorFlags> {
        Ok(match self.looked(&fd)?.node {
            Node::Output(_) => DescriptorFlags::WRITE,
            Node::Folder(..) | Node::File(_) => DescriptorFlags::READ,
        })
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<DescriptorType> {
        Ok(self.looked(&fd)?.node.kind())
    }

    async fn set_size(&mut self, _: Fd, _: u64) -> FsResult<()> {
        read_only()
    }

    async fn set_times(
        &mut self,
        _: Fd,
        _: types::NewTimestamp,
        _: types::NewTimestamp,
    ) -> FsResult<()> {
        read_only()
    }

    async fn read(&mut self, fd: Fd, length: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        let file = Arc::clone(self.looked(&fd)?.node.file()?);
        let most = usize::try_from(length).unwrap_or(usize::MAX).min(READ_BYTES_MAX);
        let bytes = file.read(offset, most).await.map_err(|error| code(&error))?;
        let ended = bytes.is_empty() && most > 0;
        Ok((bytes.into(), ended))
    }

    async fn write(&mut self, fd: Fd, bytes: Vec<u8>, offset: u64) -> FsResult<u64> {
        let called = self.looked(&fd)?.node.output()?;
        OutputFile::new(called, offset).put(&bytes)?;
        Ok(bytes.len() as u64)
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Entries> {
        let (tree, path) = match &self.looked(&fd)?.node {
            Node::Folder(tree, path) => (tree.clone(), path.clone()),
            Node::File(_) | Node::Output(_) => return Err(ErrorCode::NotDirectory.into()),
        };
        let reading = Reading { tree, path, ready: VecDeque::new(), after: None };
        Ok(Resource::new_own(self.table.push(reading)?.rep()))
    }

    async fn create_directory_at(&mut self, _: Fd, _: String) -> FsResult<()> {
        read_only()
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<DescriptorStat> {
        let node = self.looked(&fd)?.node.clone();
        Ok(node.stat().await)
    }

    async fn stat_at(
        &mut self,
        fd: Fd,
        _: types::PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        Ok(self.at(&fd, &path).await?.node.stat().await)
    }

    async fn set_times_at(
        &mut self,
        _: Fd,
        _: types::PathFlags,
        _: String,
        _: types::NewTimestamp,
        _: types::NewTimestamp,
    ) -> FsResult<()> {
        read_only()
    }

    async fn link_at(
        &mut self,
        _: Fd,
        _: types::PathFlags,
        _: String,
        _: Fd,
        _: String,
    ) -> FsResult<()> {
        read_only()
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        _: types::PathFlags,
        path: String,
        how: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        let changes = flags.intersects(DescriptorFlags::WRITE | DescriptorFlags::MUTATE_DIRECTORY);
        let open = self.at(&fd, &path).await.or_else(|error| match error.downcast_ref() {
            Some(ErrorCode::NoEntry) if how.contains(OpenFlags::CREATE) => read_only(),
            _ => Err(error),
        })?;
        if how.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE) {
            return Err(ErrorCode::Exist.into());
        }
        match &open.node {
            Node::Folder(..) if flags.contains(DescriptorFlags::WRITE) => {
                return Err(ErrorCode::IsDirectory.into());
            }
            Node::File(_) if changes || how.contains(OpenFlags::TRUNCATE) => return read_only(),
            Node::File(_) | Node::Output(_) if how.contains(OpenFlags::DIRECTORY) => {
                return Err(ErrorCode::NotDirectory.into());
            }
            _ => {}
        }
        self.open(open)
    }

    async fn readlink_at(&mut self, _: Fd, _: String) -> FsResult<String> {
        Err(ErrorCode::Invalid.into())
    }

    async fn remove_directory_at(&mut self, _: Fd, _: String) -> FsResult<()> {
        read_only()
    }

    async fn rename_at(&mut self, _: Fd, _: String, _: Fd, _: String) -> FsResult<()> {
        read_only()
    }

    async fn symlink_at(&mut self, _: Fd, _: String, _: String) -> FsResult<()> {
        read_only()
    }

    async fn unlink_file_at(&mut self, _: Fd, _: String) -> FsResult<()> {
        read_only()
    }

    fn read_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynInputStream>> {
        let file = Arc::clone(self.looked(&fd)?.node.file()?);
        let stream: DynInputStream = Box::new(FileStream::new(file, offset));
        Ok(self.table.push(stream)?)
    }

    fn write_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        let stream: DynOutputStream =
            Box::new(OutputFile::new(self.looked(&fd)?.node.output()?, offset));
        Ok(self.table.push(stream)?)
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        let written = self.looked(&fd)?.node.output()?.written.load(Ordering::Relaxed);
        self.write_via_stream(fd, written)
    }

    async fn is_same_object(&mut self, a: Fd, b: Fd) -> wasmtime::Result<bool> {
        let path = |fd: &Fd| {
            let open = self.table.get(&Resource::<Open>::new_borrow(fd.rep()))?;
            Ok::<_, wasmtime::Error>(&open.path)
        };
        Ok(path(&a)? == path(&b)?)
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<types::MetadataHashValue> {
        Ok(hash(&self.looked(&fd)?.path))
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Fd,
        _: types::PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        // What others serve is not asked for to be told apart.
        if let Node::Folder(Tree::Web(scheme), _) = &self.looked(&fd)?.node {
            return Ok(hash(&address(scheme, &path)));
        }
        Ok(hash(&self.at(&fd, &path).await?.path))
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Open>::new_own(fd.rep()))?;
        Ok(())
    }
}

impl types::HostDirectoryEntryStream for Guest {
    async fn read_directory_entry(
        &mut self,
        entries: Entries,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        let reading = self.table.get_mut(&Resource::<Reading>::new_borrow(entries.rep()))?;
        if reading.ready.is_empty() {
            let after = reading.after.as_deref();
            let listed = match &reading.tree {
                Tree::Given(files) => files.list(&reading.path, after).await,
                Tree::Called(_) if after.is_none() => {
                    let file = |name: &str| Listed { name: name.to_owned(), folder: false };
                    Ok(vec![file("input"), file("output")])
                }
                Tree::Called(_) => Ok(Vec::new()),
                Tree::Web(_) => Err(FileError::Denied),
            };
            reading.ready = listed.map_err(|error| code(&error))?.into();
        }
        let Some(Listed { name, folder }) = reading.ready.pop_front() else { return Ok(None) };
        reading.after = Some(name.clone());
        let type_ = if folder { DescriptorType::Directory } else { DescriptorType::RegularFile };
        Ok(Some(types::DirectoryEntry { type_, name }))
    }

    fn drop(&mut self, entries: Entries) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Reading>::new_own(entries.rep()))?;
        Ok(())
    }
}
