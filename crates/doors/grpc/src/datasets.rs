//! DatasetAPI: what there is and what it holds.

use std::sync::Arc;

use cairn_base::DatasetName;
use cairn_datasets::{self as engine, Browser, Store as _};
use cairn_tree::{self as tree, Kind};
use futures::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::door::Api;
use crate::error::Error;
use crate::gate::Call;
use crate::names;
use crate::page::Page;
use crate::proto::dataset::v1::dataset_api_server::DatasetApi;
use crate::proto::dataset::v1::{
    Dataset, DatasetSummary, Entry, FollowRequest, FollowResponse, HistoryRequest, HistoryResponse,
    ListDatasetsRequest, ListDatasetsResponse, ListRequest, ListResponse, ListTagsRequest,
    ListTagsResponse, LookupRequest, LookupResponse, PublishRequest, PublishResponse, PushRequest,
    PushResponse, Tag, entry,
};

#[tonic::async_trait]
impl DatasetApi for Api {
    type FollowStream = BoxStream<'static, Result<FollowResponse, Status>>;

    async fn list_datasets(
        &self,
        request: Request<ListDatasetsRequest>,
    ) -> Result<Response<ListDatasetsResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        Ok(Response::new(self.datasets_of(&call, &asked).await?))
    }

    async fn list_tags(
        &self,
        request: Request<ListTagsRequest>,
    ) -> Result<Response<ListTagsResponse>, Status> {
        let (_call, asked) = Call::admit(request)?;
        Ok(Response::new(self.tags_of(&asked).await?))
    }

    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        let (_call, asked) = Call::admit(request)?;
        let tag = self.tag(asked.target.as_ref()).await?;
        Ok(Response::new(LookupResponse { version: Some(names::version(tag.current)) }))
    }

    async fn history(
        &self,
        request: Request<HistoryRequest>,
    ) -> Result<Response<HistoryResponse>, Status> {
        let (_call, asked) = Call::admit(request)?;
        Ok(Response::new(self.history_of(&asked).await?))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let (_call, asked) = Call::admit(request)?;
        Ok(Response::new(self.directory(&asked).await?))
    }

    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let (call, asked) = Call::admit(request)?;
        let version = self.publish_what(&call, asked).await?;
        Ok(Response::new(PublishResponse { version: Some(names::version(version)) }))
    }

    async fn push(
        &self,
        request: Request<Streaming<PushRequest>>,
    ) -> Result<Response<PushResponse>, Status> {
        let call = Call::of(&request)?;
        let pushed = Box::pin(self.push_stream(call, request.into_inner())).await?;
        Ok(Response::new(pushed))
    }

    async fn follow(
        &self,
        request: Request<FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let (call, asked) = Call::admit(request)?;
        Ok(Response::new(self.follow_tag(call, &asked)?))
    }
}

impl Api {
    /// Looks into a dataset.
    pub(crate) fn browser(&self, dataset: engine::Dataset) -> Browser {
        Browser::new(Arc::new(self.datasets.clone()), dataset)
    }

    async fn tag(
        &self,
        named: Option<&crate::proto::dataset::v1::Target>,
    ) -> Result<engine::Tag, Error> {
        Ok(self.datasets.tag(&names::target(named)?).await?)
    }

    async fn datasets_of(
        &self,
        call: &Call,
        asked: &ListDatasetsRequest,
    ) -> Result<ListDatasetsResponse, Error> {
        let project = names::project(&asked.project)?;
        let list: [&[u8]; 2] = [b"datasets", project.as_str().as_bytes()];
        let page = Page::read(asked.page_size, &asked.page_token, &list)?;
        let after = page.after_text();
        let mut all = self.datasets.list(&project).await?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let left = all.into_iter().filter(|summary| {
            let name = summary.name.parse::<DatasetName>();
            summary.name > after && name.is_ok_and(|name| call.visit().may_read(&project, &name))
        });
        let (taken, next_page_token) = page.take(left, |one| one.name.as_bytes().to_vec());
        let summary = |one: engine::Summary| DatasetSummary {
            dataset: Some(Dataset { project: one.project, name: one.name }),
            tags: one.tags.len() as u64,
            newest: Some(names::version(one.newest)),
        };
        let datasets = taken.into_iter().map(summary).collect();
        Ok(ListDatasetsResponse { datasets, next_page_token })
    }

    async fn tags_of(&self, asked: &ListTagsRequest) -> Result<ListTagsResponse, Error> {
        let dataset = names::dataset(asked.dataset.as_ref())?;
        let name = dataset.to_string();
        let list: [&[u8]; 2] = [b"tags", name.as_bytes()];
        let page = Page::read(asked.page_size, &asked.page_token, &list)?;
        let after = page.after_text();
        let mut all = self.datasets.tags(&dataset).await?;
        all.sort_by(|a, b| a.tag.cmp(&b.tag));
        let left = all.into_iter().filter(|tag| tag.tag > after);
        let (taken, next_page_token) = page.take(left, |tag| tag.tag.as_bytes().to_vec());
        let tag =
            |tag: engine::Tag| Tag { tag: tag.tag, current: Some(names::version(tag.current)) };
        Ok(ListTagsResponse { tags: taken.into_iter().map(tag).collect(), next_page_token })
    }

    async fn history_of(&self, asked: &HistoryRequest) -> Result<HistoryResponse, Error> {
        let target = names::target(asked.target.as_ref())?;
        let name = target.to_string();
        let list: [&[u8]; 2] = [b"history", name.as_bytes()];
        let page = Page::read(asked.page_size, &asked.page_token, &list)?;
        let tag = self.datasets.tag(&target).await?;
        let all: Vec<engine::Version> = std::iter::once(tag.current).chain(tag.history).collect();
        let begin = page.after.as_deref().map_or(0, |after| behind(&all, after));
        let (taken, next_page_token) = page.take(all.into_iter().skip(begin), version_key);
        let versions = taken.into_iter().map(names::version).collect();
        Ok(HistoryResponse { versions, next_page_token })
    }

    async fn directory(&self, asked: &ListRequest) -> Result<ListResponse, Error> {
        let target = names::target(asked.target.as_ref())?;
        let path = names::path(&asked.path)?;
        let (name, joined) = (target.to_string(), path.join(&b'/'));
        let list: [&[u8]; 3] = [b"list", name.as_bytes(), &joined];
        let page = Page::read(asked.page_size, &asked.page_token, &list)?;
        let tag = self.datasets.tag(&target).await?;
        let all = std::iter::once(tag.current).chain(tag.history);
        let (version, after) = pinned(all, page.after.as_deref())?;
        let browser = self.browser(target.dataset);
        let root = browser.root(version.root).await?;
        let top = match browser.at(&root, &path).await?.kind {
            Kind::Directory { page, .. } => page,
            _ => {
                let path = String::from_utf8_lossy(&joined).into_owned();
                return Err(Error::invalid(format!("{path:?} is no directory; list its parent")));
            }
        };
        let (children, more) = browser.children(top, page.limit, after.as_deref()).await?;
        let last = children.last().filter(|_| more);
        let token = last.map(|last| page.token(&[&version.root.0, last.name.as_slice()].concat()));
        Ok(ListResponse {
            entries: children.into_iter().map(entry).collect(),
            next_page_token: token.unwrap_or_default(),
            version: Some(names::version(version)),
        })
    }
}

/// Where a version stands in a history.
fn version_key(version: &engine::Version) -> Vec<u8> {
    [&version.time_ns.to_be_bytes()[..], &version.root.0].concat()
}

/// How many versions come before those after the one with this key. When the rules dropped that one
/// meanwhile, they dropped all older ones too.
fn behind(all: &[engine::Version], key: &[u8]) -> usize {
    all.iter().position(|version| version_key(version) == key).map_or(all.len(), |at| at + 1)
}

/// The version that a list began with, and the name that its next page comes after. A tag may move
/// meanwhile: then its history has it.
fn pinned(
    mut all: impl Iterator<Item = engine::Version>,
    after: Option<&[u8]>,
) -> Result<(engine::Version, Option<Vec<u8>>), Error> {
    let gone = || {
        Error::not_found("the version that this list began with is gone; list the directory anew")
    };
    let Some(after) = after else { return Ok((all.next().ok_or_else(gone)?, None)) };
    let (root, name) = after.split_at_checked(32).ok_or_else(gone)?;
    let version = all.find(|version| version.root.0 == *root).ok_or_else(gone)?;
    Ok((version, Some(name.to_vec())))
}

fn entry(found: tree::Entry) -> Entry {
    let mut shown = Entry {
        name: found.name.into(),
        mode: found.meta.mode,
        uid: found.meta.uid,
        gid: found.meta.gid,
        modified_at: Some(prost_types::Timestamp {
            seconds: found.meta.mtime.secs,
            nanos: i32::try_from(found.meta.mtime.nanos).unwrap_or_default(),
        }),
        ..Entry::default()
    };
    let kind = match found.kind {
        Kind::File { content } => {
            shown.size = content.len;
            shown.blake3 = content.root.map(|root| root.to_vec().into()).unwrap_or_default();
            entry::Kind::File
        }
        Kind::Directory { totals, .. } => {
            (shown.size, shown.files) = (totals.bytes, totals.files);
            entry::Kind::Directory
        }
        Kind::Symlink { target } => {
            shown.target = target.into();
            entry::Kind::Symlink
        }
        Kind::Hardlink { target } => {
            shown.target = target.into();
            entry::Kind::Hardlink
        }
    };
    shown.set_kind(kind);
    shown
}
