//! Datasets, tags and rules.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use axum::response::Response;
use cairn_access::{Action, Resource};
use cairn_base::{DatasetName, TagName};
use cairn_datasets::{Dataset, Rules, Store as _, Target};

use super::route;
use crate::api::{
    CopyTag, DatasetPage, MovedTag, ProjectKey, ProjectName, ProjectPage, Removed, TagPage, schema,
};
use crate::args::Args;
use crate::call::{Call, changed, json, no_content, parse_json};
use crate::error::Error;
use crate::limits::PAGE_MAX;
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Permission, Route, Rule, Scope};

const LIMIT: Query = Query::new("limit", "Entries of a page.", Holds::Number(1, PAGE_MAX as u64));
const AFTER: Query = Query::new("after", "`next` of the page before.", Holds::Text);
const PAGE: &[Query] = &[LIMIT, AFTER];
const TAG_PAGE: &[Query] = &[
    LIMIT,
    AFTER,
    Query::new("history", "`true` gives the history of each tag too.", Holds::Flag),
];

/// To move the tag in the path to where the tag in the body is.
const COPY: Permission = Permission::Needs(&[
    Rule { action: Action::WriteDataset, scope: Scope::Dataset },
    Rule { action: Action::ReadDataset, scope: Scope::Body(copy_source) },
]);

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "datasets", ..Doc::default() };
    let dataset = "/api/v1/projects/{project}/datasets/{name}";
    let tag = "/api/v1/projects/{project}/datasets/{name}/tags/{tag}";
    let rules = "/api/v1/projects/{project}/datasets/{name}/rules";
    vec![
        route!(GET "/api/v1/projects", projects).permission(route::LOOK).doc(Doc {
            summary: "The projects with a dataset or a function that the caller may read, by name.",
            query: PAGE,
            answers: BodyDoc::Json(shape::<ProjectPage>),
            ..doc
        }),
        route!(GET "/api/v1/projects/{project}/key", key).permission(route::LIST).doc(Doc {
            summary: "What a client must know to work with the project's chunks.",
            answers: BodyDoc::Json(shape::<ProjectKey>),
            ..doc
        }),
        route!(GET "/api/v1/projects/{project}/datasets", list).permission(route::LIST).doc(Doc {
            summary: "The datasets of a project that the caller may read, by name.",
            query: PAGE,
            answers: BodyDoc::Json(shape::<DatasetPage>),
            ..doc
        }),
        route!(GET dataset, tags).permission(route::READ).doc(Doc {
            summary: "The tags of a dataset with their current versions.",
            query: TAG_PAGE,
            answers: BodyDoc::Json(shape::<TagPage>),
            ..doc
        }),
        route!(DELETE dataset, remove_dataset).permission(route::DELETE).doc(Doc {
            summary: "Removes all tags of a dataset.",
            answers: BodyDoc::Json(shape::<Removed>),
            ..doc
        }),
        route!(GET tag, one_tag).permission(route::READ).doc(Doc {
            summary: "A tag, its current version and its history.",
            answers: BodyDoc::Json(shape::<schema::Tag>),
            ..doc
        }),
        route!(PUT tag, copy_tag).permission(COPY).doc(Doc {
            summary: "Makes the tag point where another one of the project does.",
            takes: BodyDoc::Json(shape::<CopyTag>),
            answers: BodyDoc::Json(shape::<MovedTag>),
            ..doc
        }),
        route!(DELETE tag, remove_tag).permission(route::DELETE).doc(Doc {
            summary: "Removes a tag with its history.",
            status: 204,
            ..doc
        }),
        route!(GET rules, get_rules).permission(route::READ).doc(Doc {
            summary: "How long versions of a dataset are kept.",
            answers: BodyDoc::Json(shape::<schema::Rules>),
            ..doc
        }),
        route!(PUT rules, set_rules).permission(route::RETAIN).doc(Doc {
            summary: "Sets how long versions of a dataset are kept.",
            takes: BodyDoc::Json(shape::<schema::Rules>),
            answers: BodyDoc::Json(shape::<schema::Rules>),
            ..doc
        }),
    ]
}

async fn key(call: Call) -> Result<Response, Error> {
    let project = call.door.datasets().project(&call.args.project()?).await?;
    let key = hex::encode(project.key.as_bytes());
    json(StatusCode::OK, &ProjectKey { bucket_id: project.bucket_id, key })
}

async fn projects(call: Call) -> Result<Response, Error> {
    let (limit, after) = (call.limit()?, call.query("after")?.unwrap_or_default());
    let visit = call.visit()?.clone();
    let datasets = call.door.datasets();
    let readable = |project: &_, name: &_| visit.may_read(project, name);
    let (found, mut more) = datasets.projects(&after, limit, readable).await?;
    // Beyond the last of a page with more after it, the next one tells of both.
    let last = found.last().filter(|_| more).cloned();
    let mut found: BTreeSet<_> = found.into_iter().collect();
    if let Ok(functions) = call.door.functions() {
        let others = functions.projects(readable).into_iter().filter(|name| {
            name.as_str() > after.as_str() && last.as_ref().is_none_or(|last| name <= last)
        });
        found.extend(others);
    }
    more |= found.len() > limit;
    let found: Vec<_> = found.into_iter().take(limit).collect();
    let next = found.last().filter(|_| more).map(ToString::to_string);
    let projects = found.into_iter().map(|name| ProjectName { name: name.to_string() }).collect();
    json(StatusCode::OK, &ProjectPage { projects, next })
}

async fn list(call: Call) -> Result<Response, Error> {
    let project = call.args.project()?;
    let (limit, after) = (call.limit()?, call.query("after")?.unwrap_or_default());
    let visit = call.visit()?;
    let all = call.door.datasets().list(&project).await?;
    let mut left = all.into_iter().filter(|summary| {
        let name = summary.name.parse::<DatasetName>();
        summary.name > after && name.is_ok_and(|name| visit.may_read(&project, &name))
    });
    let datasets: Vec<_> = left.by_ref().take(limit).collect();
    let more = left.next().is_some();
    let next = datasets.last().filter(|_| more).map(|last| last.name.clone());
    json(StatusCode::OK, &DatasetPage { datasets, next })
}

async fn tags(call: Call) -> Result<Response, Error> {
    let (limit, after) = (call.limit()?, call.query("after")?.unwrap_or_default());
    let history = call.flag("history")?;
    let mut all = call.door.datasets().tags(&call.args.dataset()?).await?;
    all.sort_by(|a, b| a.tag.cmp(&b.tag));
    let mut left = all.into_iter().filter(|tag| tag.tag > after);
    let mut tags: Vec<_> = left.by_ref().take(limit).collect();
    if !history {
        tags.iter_mut().for_each(|tag| tag.history.clear());
    }
    let more = left.next().is_some();
    let next = tags.last().filter(|_| more).map(|last| last.tag.clone());
    json(StatusCode::OK, &TagPage { tags, next })
}

async fn one_tag(call: Call) -> Result<Response, Error> {
    json(StatusCode::OK, &call.door.datasets().tag(&call.args.target()?).await?)
}

fn read_copy(args: &Args, body: &[u8]) -> Result<Target, Error> {
    let copy: CopyTag = parse_json(body)?;
    let name: DatasetName = copy.from.name.parse()?;
    let tag: TagName = copy.from.tag.parse()?;
    Ok(Target { dataset: Dataset { project: args.project()?, name }, tag })
}

fn copy_source(args: &Args, body: &[u8]) -> Result<Vec<Resource>, Error> {
    let from = read_copy(args, body)?.dataset;
    Ok(vec![Resource::Dataset(from.project, from.name)])
}

async fn copy_tag(mut call: Call) -> Result<Response, Error> {
    let body = call.bytes().await?;
    let from = read_copy(&call.args, &body)?;
    let (to, by) = (call.args.target()?, call.by()?);
    let datasets = call.door.datasets().clone();
    let moved = format!("{} is {}", to.tag, from);
    let work = async move { datasets.copy_tag(&from, &to, &by).await };
    let version = call.to_its_end(work).await??;
    let what = format!("{moved}, {}", version.root);
    Ok(changed(json(StatusCode::OK, &MovedTag { version })?, what))
}

async fn remove_tag(call: Call) -> Result<Response, Error> {
    let (datasets, target) = (call.door.datasets().clone(), call.args.target()?);
    let what = format!("removed tag {}", target.tag);
    call.to_its_end(async move { datasets.remove(&target).await }).await??;
    Ok(changed(no_content(), what))
}

async fn remove_dataset(call: Call) -> Result<Response, Error> {
    let (datasets, dataset) = (call.door.datasets().clone(), call.args.dataset()?);
    let work = async move {
        let mut removed = Removed { tags: 0 };
        for tag in datasets.tags(&dataset).await? {
            let tag = tag.tag.parse()?;
            match datasets.remove(&Target { dataset: dataset.clone(), tag }).await {
                // Somebody else removed it meanwhile: it is gone, as asked.
                Err(cairn_datasets::Error::NoTag { .. }) => {}
                other => {
                    other?;
                    removed.tags += 1;
                }
            }
        }
        Ok::<Removed, Error>(removed)
    };
    let removed = call.to_its_end(work).await??;
    let what = format!("removed all {} tags", removed.tags);
    Ok(changed(json(StatusCode::OK, &removed)?, what))
}

async fn get_rules(call: Call) -> Result<Response, Error> {
    json(StatusCode::OK, &call.door.datasets().rules(&call.args.dataset()?).await?)
}

async fn set_rules(mut call: Call) -> Result<Response, Error> {
    let rules: Rules = call.json().await?;
    let (datasets, dataset) = (call.door.datasets().clone(), call.args.dataset()?);
    let kept = rules.clone();
    call.to_its_end(async move { datasets.set_rules(&dataset, &kept).await }).await??;
    let answer = json(StatusCode::OK, &rules)?;
    let what = serde_json::to_string(&rules).unwrap_or_default();
    Ok(changed(answer, format!("rules {what}")))
}
