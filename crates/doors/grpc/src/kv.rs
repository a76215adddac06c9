//! KvAPI: namespaces of keys, and single keys.

use std::time::Duration;

use cairn_base::DatasetName;
use cairn_kv::limits::VALUE_BYTES_MAX;
use cairn_kv::{Committed, Condition, Durable, Info, KeyRange, Kv, Only, Op, Settings, Touched};
use futures::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::door::Api;
use crate::error::Error;
use crate::gate::Call;
use crate::kv_messages::{self as messages, durable, namespace, only, owned, range};
use crate::names;
use crate::page::Page;
use crate::proto::kv::v1::kv_api_server::KvApi;
use crate::proto::kv::v1::{
    ChangeNamespaceRequest, ChangeNamespaceResponse, CommitRequest, CommitResponse,
    CreateNamespaceRequest, CreateNamespaceResponse, DeleteRangeRequest, DeleteRangeResponse,
    DeleteRequest, DeleteResponse, GetNamespaceRequest, GetNamespaceResponse, GetRequest,
    GetResponse, ListNamespacesRequest, ListNamespacesResponse, Namespace, PutRequest, PutResponse,
    RemoveNamespaceRequest, RemoveNamespaceResponse, ScanRequest, ScanResponse, SetTtlRequest,
    SetTtlResponse, WatchRequest, WatchResponse, WriteRequest, WriteResponse, get_request,
};

#[tonic::async_trait]
impl KvApi for Api {
    type ScanStream = BoxStream<'static, Result<ScanResponse, Status>>;
    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;
    type WriteStream = BoxStream<'static, Result<WriteResponse, Status>>;

    async fn list_namespaces(
        &self,
        request: Request<ListNamespacesRequest>,
    ) -> Result<Response<ListNamespacesResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        Ok(Response::new(self.namespaces_of(&call, &asked).await?))
    }

    async fn get_namespace(
        &self,
        request: Request<GetNamespaceRequest>,
    ) -> Result<Response<GetNamespaceResponse>, Status> {
        let (_call, asked) = Call::admit(request)?;
        let named = namespace(asked.namespace.as_ref())?;
        let found = self.kv()?.status(&named).await.map_err(Error::from)?;
        Ok(Response::new(GetNamespaceResponse { info: Some(messages::info(found)) }))
    }

    async fn create_namespace(
        &self,
        request: Request<CreateNamespaceRequest>,
    ) -> Result<Response<CreateNamespaceResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        let made = self.make_namespace(&call, asked).await?;
        Ok(Response::new(CreateNamespaceResponse { info: Some(messages::info(made)) }))
    }

    async fn change_namespace(
        &self,
        request: Request<ChangeNamespaceRequest>,
    ) -> Result<Response<ChangeNamespaceResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        let set = self.set_namespace(&call, asked).await?;
        Ok(Response::new(ChangeNamespaceResponse { info: Some(messages::info(set)) }))
    }

    async fn remove_namespace(
        &self,
        request: Request<RemoveNamespaceRequest>,
    ) -> Result<Response<RemoveNamespaceResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        let (kv, named) = (self.kv()?.clone(), namespace(asked.namespace.as_ref())?);
        let work = async move { kv.remove(&named).await };
        let what = |(): &()| "removed a namespace with all its keys".to_owned();
        call.change(work, what).await?;
        Ok(Response::new(RemoveNamespaceResponse {}))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let (_call, asked) = Call::admit(request)?;
        let named = namespace(asked.namespace.as_ref())?;
        let at = match asked.at {
            None => messages::state(None, None),
            Some(get_request::At::AtSeq(seq)) => messages::state(Some(seq), None),
            Some(get_request::At::AtMs(time_ms)) => messages::state(None, Some(time_ms)),
        };
        let found = self.kv()?.get(&named, &asked.key, at).await.map_err(Error::from)?;
        if let Some(size) = found.as_ref().and_then(cairn_kv::large_size) {
            let large = cairn_kv::Error::Large { namespace: named, key: asked.key.to_vec(), size };
            return Err(Error::from(large).into());
        }
        Ok(Response::new(GetResponse { entry: found.map(messages::entry) }))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        let done = self.put_key(call, asked).await?;
        Ok(Response::new(PutResponse { seq: done.seq.0 }))
    }

    async fn delete(
        &self,
        request: Request<DeleteRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        let done = self.delete_key(call, asked).await?;
        Ok(Response::new(DeleteResponse { seq: done.seq.0 }))
    }

    async fn set_ttl(
        &self,
        request: Request<SetTtlRequest>,
    ) -> Result<Response<SetTtlResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        let Touched { seq, expires_ms } = self.touch_key(call, asked).await?;
        Ok(Response::new(SetTtlResponse { seq: seq.0, expires_ms }))
    }

    async fn commit(
        &self,
        request: Request<CommitRequest>,
    ) -> Result<Response<CommitResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        let done = self.commit_keys(call, asked).await?;
        Ok(Response::new(CommitResponse { seq: done.seq.0 }))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        let done = self.delete_keys(call, asked).await?;
        Ok(Response::new(DeleteRangeResponse { seq: done.seq.0 }))
    }

    async fn scan(
        &self,
        request: Request<ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        let (call, asked) = Call::admit(request)?;
        Ok(Response::new(self.scan_keys(call, asked).await?))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (call, asked) = Call::admit(request)?;
        Ok(Response::new(self.watch_keys(call, asked).await?))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let call = Call::of(&request)?;
        Ok(Response::new(self.write_stream(call, request.into_inner())?))
    }
}

impl Api {
    /// The namespaces of this node.
    pub(crate) fn kv(&self) -> Result<&Kv, Error> {
        self.kv.as_ref().ok_or(Error::NoKeys)
    }

    async fn namespaces_of(
        &self,
        call: &Call,
        asked: &ListNamespacesRequest,
    ) -> Result<ListNamespacesResponse, Error> {
        let project = names::project(&asked.project)?;
        let list: [&[u8]; 2] = [b"namespaces", project.as_str().as_bytes()];
        let page = Page::read(asked.page_size, &asked.page_token, &list)?;
        let after = page.after_text();
        let all = self.kv()?.list(&project).await?;
        let seen = |name: &DatasetName| {
            name.as_str() > after.as_str() && call.visit().may_read(&project, name)
        };
        let left = all.into_iter().filter(|found| seen(&found.name));
        let (taken, next_page_token) =
            page.take(left, |found| found.name.as_str().as_bytes().to_vec());
        let name = |found: cairn_kv::Namespace| Namespace {
            project: found.project.to_string(),
            name: found.name.to_string(),
        };
        Ok(ListNamespacesResponse {
            namespaces: taken.into_iter().map(name).collect(),
            next_page_token,
        })
    }

    async fn make_namespace(
        &self,
        call: &Call,
        asked: CreateNamespaceRequest,
    ) -> Result<Info, Error> {
        let (kv, named) = (self.kv()?.clone(), namespace(asked.namespace.as_ref())?);
        if !asked.clone_of.is_empty() {
            return self.clone_namespace(call, kv, &asked, named).await;
        }
        let settings = messages::settings(asked.settings)?.of(Settings::default());
        let work = async move { kv.create(&named, settings).await };
        call.change(work, |info| chosen("made", info)).await
    }

    async fn clone_namespace(
        &self,
        call: &Call,
        kv: Kv,
        asked: &CreateNamespaceRequest,
        to: cairn_kv::Namespace,
    ) -> Result<Info, Error> {
        if asked.settings.is_some() {
            return Err(Error::invalid(
                "a clone has the settings of its source; change them after",
            ));
        }
        let name = asked.clone_of.parse()?;
        let of = cairn_kv::Namespace { project: to.project.clone(), name };
        // The call's permission is for the one that is made.
        if !call.visit().may_read(&of.project, &of.name) {
            return Err(Error::Kv(cairn_kv::Error::NoNamespace { namespace: of }));
        }
        let what = format!("made a namespace of keys: a clone of {of}");
        let work = async move { kv.clone_to(&of, &to).await };
        call.change(work, move |_| what).await
    }

    async fn set_namespace(
        &self,
        call: &Call,
        asked: ChangeNamespaceRequest,
    ) -> Result<Info, Error> {
        let (kv, named) = (self.kv()?.clone(), namespace(asked.namespace.as_ref())?);
        let change = messages::settings(asked.settings)?;
        let work = async move { kv.change(&named, change).await };
        call.change(work, |info| chosen("set", info)).await
    }

    async fn put_key(&self, mut call: Call, asked: PutRequest) -> Result<Committed, Error> {
        let (kv, named) = (self.kv()?.clone(), namespace(asked.namespace.as_ref())?);
        let size = asked.value.len();
        if size > VALUE_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the value has {size} bytes, and {VALUE_BYTES_MAX} are allowed in a message; PUT a larger \
                 one, up to 1 GiB, by REST"
            )));
        }
        let put = cairn_kv::Put {
            key: owned(asked.key),
            value: owned(asked.value),
            ttl: asked.ttl_ms.map(Duration::from_millis),
            only: only(asked.condition.as_ref())?,
            durable: durable(asked.durable)?,
        };
        let (held, work) = (call.held(), async move { kv.put(&named, put).await });
        call.counted(held, work, |done: &Committed| done.seq).await
    }

    async fn delete_key(&self, call: Call, asked: DeleteRequest) -> Result<Committed, Error> {
        let key = owned(asked.key);
        let expected = match only(asked.condition.as_ref())? {
            Only::Always => None,
            Only::Seq(seq) => Some(seq),
            Only::Absent => {
                return Err(Error::invalid("a key that is absent cannot be removed; expect a seq"));
            }
        };
        let condition = expected.map(|seq| Condition { key: key.clone(), expected: Some(seq) });
        let mut commit = cairn_kv::Commit::new().delete(key);
        commit.conditions.extend(condition);
        commit.durable = durable(asked.durable)?;
        self.made(call, asked.namespace.as_ref(), commit).await
    }

    async fn touch_key(&self, call: Call, asked: SetTtlRequest) -> Result<Touched, Error> {
        let (kv, named) = (self.kv()?.clone(), namespace(asked.namespace.as_ref())?);
        let ttl = asked.ttl_ms.map(Duration::from_millis);
        let work = async move { kv.touch(&named, &asked.key, ttl).await };
        call.counted(None, work, |done: &Touched| done.seq).await
    }

    async fn commit_keys(&self, call: Call, asked: CommitRequest) -> Result<Committed, Error> {
        let CommitRequest { namespace, ops, conditions, durable } = asked;
        let commit = messages::commit(self.kv()?, ops, conditions, durable)?;
        self.made(call, namespace.as_ref(), commit).await
    }

    async fn delete_keys(&self, call: Call, asked: DeleteRangeRequest) -> Result<Committed, Error> {
        let range = match (range(asked.range)?, asked.all) {
            (Some(range), false) => range,
            (None, true) => KeyRange::all(),
            (Some(_), true) => return Err(Error::invalid("with all: true no range is given")),
            (None, false) => {
                let detail = "give a prefix, or from and to; all: true removes every key";
                return Err(Error::invalid(detail));
            }
        };
        let (ops, durable) = (vec![Op::DeleteRange(range)], durable(asked.durable)?);
        let commit = cairn_kv::Commit { ops, durable, ..cairn_kv::Commit::default() };
        self.made(call, asked.namespace.as_ref(), commit).await
    }

    /// Makes a commit, counted.
    async fn made(
        &self,
        mut call: Call,
        named: Option<&Namespace>,
        commit: cairn_kv::Commit,
    ) -> Result<Committed, Error> {
        let (kv, named) = (self.kv()?.clone(), namespace(named)?);
        let (held, work) = (call.held(), async move { kv.commit(&named, commit).await });
        call.counted(held, work, |done: &Committed| done.seq).await
    }
}

/// What the audit log says of a namespace that was made or set.
fn chosen(verb: &str, info: &Info) -> String {
    let level = if info.durable == Durable::Log { "log" } else { "bucket" };
    format!("{verb} a namespace of keys: durable {level}, history {} ms", info.history_ms)
}
