//! `wasi:blobstore` for guests, on whatever [`super::Blobs`] they were given.

use std::collections::VecDeque;
use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use self::bindings::wasi::blobstore::{blobstore, container, types};
use super::values::{Reading, Whole, Writing};
use super::{Blob, BlobError, Container};
use crate::files::FileStream;
use crate::guest::Guest;
use crate::sink::Sink;

/// Names that are read at a time.
const NAMES_MAX: usize = 1000;
/// Bytes of an object that are read as a whole; longer ones are streamed.
const WHOLE_BYTES_MAX: u64 = 64 << 20;
/// Bytes that are read at a time meanwhile.
const READ_BYTES: usize = 1 << 20;

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "wasi:blobstore/imports",
        imports: { default: async | trappable },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:blobstore/types.outgoing-value": super::Outgoing,
            "wasi:blobstore/types.incoming-value": super::Incoming,
            "wasi:blobstore/container.container": super::Opened,
            "wasi:blobstore/container.stream-object-names": super::Names,
        },
    });
}

/// An object that a guest writes.
#[allow(unreachable_pub, reason = "the bindings name it to whoever could see them")]
pub struct Outgoing(Writing);

/// A part of an object that a guest reads.
#[allow(unreachable_pub, reason = "the bindings name it to whoever could see them")]
pub struct Incoming(Reading);

/// A container that a guest has open.
#[allow(unreachable_pub, reason = "the bindings name it to whoever could see them")]
pub struct Opened {
    name: String,
    container: Arc<dyn Container>,
}

/// Names of objects that a guest reads one after the other.
#[allow(unreachable_pub, reason = "the bindings name it to whoever could see them")]
pub struct Names {
    container: Arc<dyn Container>,
    ready: VecDeque<String>,
    after: Option<String>,
    ended: bool,
}

type Told<T> = wasmtime::Result<Result<T, String>>;

pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    container::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    blobstore::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

fn told<T>(done: Result<T, BlobError>) -> Told<T> {
    Ok(done.map_err(|error| error.to_string()))
}

fn id(object: blobstore::ObjectId) -> Blob {
    Blob { container: object.container, name: object.object }
}

impl Reading {
    /// The bytes `start` to `end` of an object, both among them, as far as there are any.
    async fn of(
        container: &dyn Container,
        name: &str,
        start: u64,
        end: u64,
    ) -> Result<Self, BlobError> {
        if start > end {
            let why = format!("there are no bytes from {start} to {end}: the last one counts too");
            return Err(BlobError::Other(why));
        }
        let object = container.object(name).await?;
        let size = object.size().await.unwrap_or(0);
        let to = end.saturating_add(1).min(size);
        Ok(Self { object, from: start.min(to), to })
    }

    async fn whole(self) -> Result<Vec<u8>, String> {
        let size = self.size();
        if size > WHOLE_BYTES_MAX {
            return Err(format!(
                "it has {size} bytes, and {WHOLE_BYTES_MAX} are read as a whole: read it as a stream, or a part of it"
            ));
        }
        let (mut all, mut at) = (Vec::new(), self.from);
        while at < self.to {
            let most = usize::try_from(self.to - at).unwrap_or(usize::MAX).min(READ_BYTES);
            let bytes = self.object.read(at, most).await.map_err(|error| error.to_string())?;
            if bytes.is_empty() {
                return Err("the object ends before its end".to_owned());
            }
            at += bytes.len() as u64;
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }
}

impl Names {
    /// Whether there are no more.
    async fn at_end(&mut self) -> Result<bool, BlobError> {
        if self.ready.is_empty() && !self.ended {
            self.ready = self.container.list(self.after.as_deref()).await?.into();
            match self.ready.back() {
                Some(last) => self.after = Some(last.clone()),
                None => self.ended = true,
            }
        }
        Ok(self.ready.is_empty())
    }

    async fn read(&mut self, most: usize) -> Result<(Vec<String>, bool), BlobError> {
        let mut names = Vec::new();
        loop {
            let ended = self.at_end().await?;
            if ended || names.len() >= most {
                return Ok((names, ended));
            }
            names.extend(self.ready.pop_front());
        }
    }

    async fn skip(&mut self, most: u64) -> Result<(u64, bool), BlobError> {
        let mut skipped = 0;
        loop {
            let ended = self.at_end().await?;
            if ended || skipped >= most {
                return Ok((skipped, ended));
            }
            let some = usize::try_from(most - skipped).unwrap_or(usize::MAX);
            let some = some.min(self.ready.len());
            self.ready.drain(..some);
            skipped += some as u64;
        }
    }
}

impl Guest {
    fn container(&self, opened: &Resource<Opened>) -> wasmtime::Result<Arc<dyn Container>> {
        Ok(Arc::clone(&self.table.get(opened)?.container))
    }

    fn open_container(
        &mut self,
        name: String,
        found: Result<Arc<dyn Container>, BlobError>,
    ) -> Told<Resource<Opened>> {
        match found {
            Ok(container) => Ok(Ok(self.table.push(Opened { name, container })?)),
            Err(error) => told(Err(error)),
        }
    }
}

impl types::Host for Guest {}

impl types::HostOutgoingValue for Guest {
    async fn new_outgoing_value(&mut self) -> wasmtime::Result<Resource<Outgoing>> {
        let writing = Writing::new(&self.staged);
        Ok(self.table.push(Outgoing(writing))?)
    }

    async fn outgoing_value_write_body(
        &mut self,
        value: Resource<Outgoing>,
    ) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        let writing = self.table.get(&value)?.0.clone();
        if !writing.open() {
            return Ok(Err(()));
        }
        let stream: DynOutputStream = Box::new(Sink(writing));
        Ok(Ok(self.table.push_child(stream, &value)?))
    }

    async fn finish(&mut self, value: Resource<Outgoing>) -> Told<()> {
        let Outgoing(writing) = self.table.delete(value)?;
        match writing.whole() {
            Ok(Some(Whole { container, name, bytes })) => told(container.put(&name, bytes).await),
            Ok(None) => {
                Ok(Err("it was written to no container: write-data comes first".to_owned()))
            }
            Err(why) => Ok(Err(why)),
        }
    }

    async fn drop(&mut self, value: Resource<Outgoing>) -> wasmtime::Result<()> {
        self.table.delete(value)?;
        Ok(())
    }
}

impl types::HostIncomingValue for Guest {
    async fn incoming_value_consume_sync(&mut self, value: Resource<Incoming>) -> Told<Vec<u8>> {
        let Incoming(reading) = self.table.delete(value)?;
        Ok(reading.whole().await)
    }

    async fn incoming_value_consume_async(
        &mut self,
        value: Resource<Incoming>,
    ) -> Told<Resource<DynInputStream>> {
        let Incoming(Reading { object, from, to }) = self.table.delete(value)?;
        let stream: DynInputStream = Box::new(FileStream::part(object, from, to));
        Ok(Ok(self.table.push(stream)?))
    }

    async fn size(&mut self, value: Resource<Incoming>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&value)?.0.size())
    }

    async fn drop(&mut self, value: Resource<Incoming>) -> wasmtime::Result<()> {
        self.table.delete(value)?;
        Ok(())
    }
}

impl container::Host for Guest {}

impl container::HostContainer for Guest {
    async fn name(&mut self, opened: Resource<Opened>) -> Told<String> {
        Ok(Ok(self.table.get(&opened)?.name.clone()))
    }

    async fn info(&mut self, opened: Resource<Opened>) -> Told<container::ContainerMetadata> {
        let Opened { name, container } = self.table.get(&opened)?;
        let (name, container) = (name.clone(), Arc::clone(container));
        let made = container.made().await;
        told(made.map(|made| types::ContainerMetadata { name, created_at: made.as_secs() }))
    }

    async fn get_data(
        &mut self,
        opened: Resource<Opened>,
        name: String,
        start: u64,
        end: u64,
    ) -> Told<Resource<Incoming>> {
        match Reading::of(&*self.container(&opened)?, &name, start, end).await {
            Ok(reading) => Ok(Ok(self.table.push(Incoming(reading))?)),
            Err(error) => told(Err(error)),
        }
    }

    async fn write_data(
        &mut self,
        opened: Resource<Opened>,
        name: String,
        value: Resource<Outgoing>,
    ) -> Told<()> {
        let container = self.container(&opened)?;
        if self.table.get(&value)?.0.send_to(&container, name) {
            return Ok(Ok(()));
        }
        Ok(Err("it is written to an object already: an outgoing-value is for one".to_owned()))
    }

    async fn list_objects(&mut self, opened: Resource<Opened>) -> Told<Resource<Names>> {
        let container = self.container(&opened)?;
        let mut names = Names { container, ready: VecDeque::new(), after: None, ended: false };
        // Who may not is told here.
        match names.at_end().await {
            Ok(_) => Ok(Ok(self.table.push(names)?)),
            Err(error) => told(Err(error)),
        }
    }

    async fn delete_object(&mut self, opened: Resource<Opened>, name: String) -> Told<()> {
        told(self.container(&opened)?.delete(&[name]).await)
    }

    async fn delete_objects(&mut self, opened: Resource<Opened>, names: Vec<String>) -> Told<()> {
        told(self.container(&opened)?.delete(&names).await)
    }

    async fn has_object(&mut self, opened: Resource<Opened>, name: String) -> Told<bool> {
        told(match self.container(&opened)?.object(&name).await {
            Ok(_) => Ok(true),
            Err(BlobError::NoObject) => Ok(false),
            Err(error) => Err(error),
        })
    }

    async fn object_info(
        &mut self,
        opened: Resource<Opened>,
        name: String,
    ) -> Told<container::ObjectMetadata> {
        let Opened { name: of, container } = self.table.get(&opened)?;
        let (of, container) = (of.clone(), Arc::clone(container));
        let object = match container.object(&name).await {
            Ok(object) => object,
            Err(error) => return told(Err(error)),
        };
        let size = object.size().await.unwrap_or(0);
        let created_at = object.modified().map_or(0, |at| at.as_secs());
        Ok(Ok(types::ObjectMetadata { name, container: of, created_at, size }))
    }

    async fn clear(&mut self, opened: Resource<Opened>) -> Told<()> {
        told(self.container(&opened)?.clear().await)
    }

    async fn drop(&mut self, opened: Resource<Opened>) -> wasmtime::Result<()> {
        self.table.delete(opened)?;
        Ok(())
    }
}

impl container::HostStreamObjectNames for Guest {
    async fn read_stream_object_names(
        &mut self,
        names: Resource<Names>,
        most: u64,
    ) -> Told<(Vec<String>, bool)> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(NAMES_MAX);
        told(self.table.get_mut(&names)?.read(most).await)
    }

    async fn skip_stream_object_names(
        &mut self,
        names: Resource<Names>,
        most: u64,
    ) -> Told<(u64, bool)> {
        told(self.table.get_mut(&names)?.skip(most).await)
    }

    async fn drop(&mut self, names: Resource<Names>) -> wasmtime::Result<()> {
        self.table.delete(names)?;
        Ok(())
    }
}

impl blobstore::Host for Guest {
    async fn create_container(&mut self, name: String) -> Told<Resource<Opened>> {
        let made = self.blobs.create(&name).await;
        self.open_container(name, made)
    }

    async fn get_container(&mut self, name: String) -> Told<Resource<Opened>> {
        let found = self.blobs.open(&name).await;
        self.open_container(name, found)
    }

    async fn delete_container(&mut self, name: String) -> Told<()> {
        told(self.blobs.remove(&name).await)
    }

    async fn container_exists(&mut self, name: String) -> Told<bool> {
        told(match self.blobs.open(&name).await {
            Ok(_) => Ok(true),
            Err(BlobError::NoContainer) => Ok(false),
            Err(error) => Err(error),
        })
    }

    async fn copy_object(
        &mut self,
        from: blobstore::ObjectId,
        to: blobstore::ObjectId,
    ) -> Told<()> {
        told(self.blobs.copy(&id(from), &id(to), false).await)
    }

    async fn move_object(
        &mut self,
        from: blobstore::ObjectId,
        to: blobstore::ObjectId,
    ) -> Told<()> {
        told(self.blobs.copy(&id(from), &id(to), true).await)
    }
}
