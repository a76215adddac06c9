//! Functions on a node.

use bytes::Bytes;
use cairn_base::ProjectName;
use cairn_datasets::Error;
use cairn_functions::{
    Auth, CallInfo, FilterInfo, Function, Info, Release, RouteFiles, RouteInfo, Run, ScheduleInfo,
    Settings, TriggerInfo,
};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::http::{Again, Asked, Node, strange};
use super::kv::add;
use crate::api::{
    AddFilter, AddRoute, AddSchedule, AddTrigger, Answered, ChooseRelease, FilterPage,
    FunctionPage, LogPage, ReleasePage, RoutePage, RunPage, SchedulePage, TriggerPage,
};
use crate::limits::FUNCTION_INPUT_BYTES_MAX;
use crate::rest::{ANSWER, EXIT, IDEMPOTENCY_KEY, SET, SETTINGS};

/// What changes one that is there.
const REPLACE: &[(&str, &str)] = &[("replace", "true")];

/// What a function that answers requests is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskFor<'a> {
    /// The method; POST when not given.
    pub method: Option<&'a str>,
    /// The path, and what follows a question mark.
    pub path: &'a str,
    /// Headers: name and value.
    pub headers: &'a [(String, String)],
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoked {
    /// The HTTP status of the answer.
    pub status: u16,
    /// What was answered beside that: of a function that answers requests, its headers.
    pub answered: Option<Answered>,
    /// The exit code, of a program.
    pub exit: Option<i32>,
    /// The answer, or what the program wrote.
    pub output: Bytes,
}

fn path(of: &Function, below: &str) -> String {
    let slash = if below.is_empty() { "" } else { "/" };
    format!("api/v1/functions/{}/{}{slash}{below}", of.project, of.name)
}

pub(super) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl Node {
    /// The functions of a project, by name.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn functions(&self, project: &ProjectName) -> Result<Vec<Info>, Error> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let path = ["api", "v1", "functions", project.as_str()];
            let page: FunctionPage = self.get(&path, &[("after", &after)]).await?;
            all.extend(page.functions);
            match page.next {
                Some(next) => after = next,
                None => return Ok(all),
            }
        }
    }

    /// The releases of a function that are kept, the newest first.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn releases(&self, of: &Function) -> Result<Vec<Release>, Error> {
        let path = path(of, "releases");
        let asked = Asked { path: &path, ..asked(Method::GET) };
        let page: ReleasePage = self.json(self.ask(&asked).await?).await?;
        Ok(page.releases)
    }

    /// A function, and which of its releases answers.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn function(&self, of: &Function) -> Result<Info, Error> {
        let path = path(of, "");
        let asked = Asked { path: &path, ..asked(Method::GET) };
        self.json(self.ask(&asked).await?).await
    }

    /// Deploys a release, and waits so many seconds until it is compiled.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn deploy(
        &self,
        of: &Function,
        code: Bytes,
        settings: &Settings,
        wait: u64,
    ) -> Result<Release, Error> {
        let settings = serde_json::to_string(settings)
            .map_err(|error| Error::Invalid { detail: format!("the settings: {error}") })?;
        // A header is ASCII; JSON can say all else so.
        let ascii = settings.chars().map(|char| match char {
            ' '..='~' => char.to_string(),
            _ => {
                let mut units = [0; 2];
                let units = char.encode_utf16(&mut units).iter();
                units.map(|unit| format!("\\u{unit:04x}")).collect()
            }
        });
        let headers = [(SETTINGS, ascii.collect::<String>())];
        let (path, query) = (path(of, "releases"), format!("wait={wait}"));
        let body = Some(("application/octet-stream", code));
        let asked =
            Asked { path: &path, query: &query, headers: &headers, body, ..asked(Method::POST) };
        self.json(self.ask(&asked).await?).await
    }

    /// Chooses which release answers.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn choose(&self, of: &Function, release: u32) -> Result<Release, Error> {
        let path = ["api", "v1", "functions", of.project.as_str(), of.name.as_str(), "current"];
        self.call(Method::PUT, &path, &ChooseRelease { release }, Again::Yes).await
    }

    /// Removes a function, and its routes `with_routes`.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn remove_function(&self, of: &Function, with_routes: bool) -> Result<(), Error> {
        let (path, query) = (path(of, ""), format!("with_routes={with_routes}"));
        let asked = Asked { path: &path, query: &query, ..asked(Method::DELETE) };
        self.ask(&asked).await.map(drop)
    }

    /// Calls a function without a route.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn invoke(
        &self,
        of: &Function,
        ask_for: &AskFor<'_>,
        arguments: &[String],
        input: Bytes,
    ) -> Result<Invoked, Error> {
        let mut query = String::new();
        add(&mut query, "path", &encoded(ask_for.path));
        if let Some(method) = ask_for.method {
            add(&mut query, "method", &encoded(method));
        }
        arguments.iter().for_each(|argument| add(&mut query, "arg", &encoded(argument)));
        let set = |(name, value): &(String, String)| (format!("{SET}{name}"), value.clone());
        let headers: Vec<_> = ask_for.headers.iter().map(set).collect();
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let path = path(of, "invoke");
        let body = Some(("application/octet-stream", input));
        let asked =
            Asked { path: &path, query: &query, headers: &headers, body, ..asked(Method::POST) };
        let response = self.ask(&asked).await?;
        let status = response.status().as_u16();
        let answered = response.headers().get(ANSWER).map(|told| {
            let told = serde_json::from_slice(told.as_bytes());
            told.map_err(|_| strange("what was answered is no JSON"))
        });
        let answered = answered.transpose()?;
        let exit = response.headers().get(EXIT).map(|value| {
            let code = value.to_str().ok().and_then(|text| text.parse().ok());
            code.ok_or_else(|| strange("an exit code is no number"))
        });
        let exit = exit.transpose()?;
        let output = self.whole(response, FUNCTION_INPUT_BYTES_MAX).await?;
        Ok(Invoked { status, answered, exit, output })
    }

    /// Calls a function later: the call as it is kept.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn call_later(
        &self,
        of: &Function,
        (ask_for, arguments): (&str, &[String]),
        input: Bytes,
        idempotency_key: Option<&str>,
    ) -> Result<CallInfo, Error> {
        let mut query = String::new();
        add(&mut query, "path", &encoded(ask_for));
        arguments.iter().for_each(|argument| add(&mut query, "arg", &encoded(argument)));
        let path = path(of, "calls");
        let headers: Vec<_> =
            idempotency_key.map(|key| (IDEMPOTENCY_KEY, key.to_owned())).into_iter().collect();
        let body = Some(("application/octet-stream", input));
        // One with a key may be sent again.
        let again = if headers.is_empty() { Again::Unsent } else { Again::Yes };
        let asked = Asked {
            path: &path,
            query: &query,
            headers: &headers,
            body,
            again,
            ..asked(Method::POST)
        };
        self.json(self.ask(&asked).await?).await
    }

    /// How far a call is, waited for so many seconds.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn called(&self, of: &Function, id: &str, wait: u64) -> Result<CallInfo, Error> {
        let (path, query) = (path(of, &format!("calls/{}", encoded(id))), format!("wait={wait}"));
        let asked = Asked { path: &path, query: &query, ..asked(Method::GET) };
        self.json(self.ask(&asked).await?).await
    }

    /// What came of a call that is done.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn call_output(&self, of: &Function, id: &str) -> Result<Bytes, Error> {
        let path = path(of, &format!("calls/{}/output", encoded(id)));
        let response = self.ask(&Asked { path: &path, ..asked(Method::GET) }).await?;
        self.whole(response, FUNCTION_INPUT_BYTES_MAX).await
    }

    /// The lines that a function wrote after one that `start` has counted, waited for so many seconds; all that are kept
    /// where the node was started since.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn logs(
        &self,
        of: &Function,
        (start, after): (Option<&str>, u64),
        wait: u64,
    ) -> Result<LogPage, Error> {
        let (path, mut query) = (path(of, "logs"), format!("after={after}&wait={wait}"));
        if let Some(start) = start {
            add(&mut query, "start", &encoded(start));
        }
        let asked = Asked { path: &path, query: &query, ..asked(Method::GET) };
        self.json(self.ask(&asked).await?).await
    }

    /// The routes of a project, by pattern.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn routes(&self, project: &ProjectName) -> Result<Vec<RouteInfo>, Error> {
        let page: RoutePage = self.get(&["api", "v1", "routes", project.as_str()], &[]).await?;
        Ok(page.routes)
    }

    /// Leads requests to a function, or to files of the dataset with its names.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn add_route(
        &self,
        of: &Function,
        (pattern, files): (&str, Option<RouteFiles>),
        auth: Auth,
    ) -> Result<RouteInfo, Error> {
        let body = AddRoute { pattern: pattern.to_owned(), auth: Some(auth), files };
        self.make(of, "routes", &body, &[]).await
    }

    /// The same, where one for the same requests to the same is changed.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn set_route(
        &self,
        of: &Function,
        (pattern, files): (&str, Option<RouteFiles>),
        auth: Auth,
    ) -> Result<RouteInfo, Error> {
        let body = AddRoute { pattern: pattern.to_owned(), auth: Some(auth), files };
        self.make(of, "routes", &body, REPLACE).await
    }

    /// Makes something of a function.
    async fn make<B: Serialize, T: DeserializeOwned>(
        &self,
        of: &Function,
        what: &str,
        body: &B,
        query: &[(&str, &str)],
    ) -> Result<T, Error> {
        let path = ["api", "v1", "functions", of.project.as_str(), of.name.as_str(), what];
        let body = serde_json::to_vec(body)
            .map_err(|error| Error::Invalid { detail: format!("a request is no JSON: {error}") })?;
        let body = Some(("application/json", Bytes::from(body)));
        let response = self.send(Method::POST, &path, query, body, Again::Unsent).await?;
        self.json(response).await
    }

    /// Removes a route of a function.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn remove_route(&self, of: &Function, pattern: &str) -> Result<(), Error> {
        let (path, query) = (path(of, "routes"), format!("pattern={}", encoded(pattern)));
        let asked = Asked { path: &path, query: &query, ..asked(Method::DELETE) };
        self.ask(&asked).await.map(drop)
    }

    /// The filters of a project's functions.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn filters(&self, project: &ProjectName) -> Result<Vec<FilterInfo>, Error> {
        let path = ["api", "v1", "filters", project.as_str()];
        let page: FilterPage = self.get(&path, &[]).await?;
        Ok(page.filters)
    }

    /// Lets the requests of a function pass another one first, or with another priority.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn add_filter(
        &self,
        of: &Function,
        filter: &str,
        priority: u16,
    ) -> Result<FilterInfo, Error> {
        let path = ["api", "v1", "functions", of.project.as_str(), of.name.as_str(), "filters"];
        let body = AddFilter { filter: filter.to_owned(), priority: Some(priority) };
        self.call(Method::POST, &path, &body, Again::Yes).await
    }

    /// Removes a filter of a function.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn remove_filter(&self, of: &Function, filter: &str) -> Result<(), Error> {
        let (path, query) = (path(of, "filters"), format!("filter={}", encoded(filter)));
        let asked = Asked { path: &path, query: &query, ..asked(Method::DELETE) };
        self.ask(&asked).await.map(drop)
    }

    /// The triggers of a project.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn triggers(&self, project: &ProjectName) -> Result<Vec<TriggerInfo>, Error> {
        let path = ["api", "v1", "triggers", project.as_str()];
        let page: TriggerPage = self.get(&path, &[]).await?;
        Ok(page.triggers)
    }

    /// Makes a trigger of a function.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn add_trigger(
        &self,
        of: &Function,
        trigger: &AddTrigger,
    ) -> Result<TriggerInfo, Error> {
        self.make(of, "triggers", trigger, &[]).await
    }

    /// The same, where one of its name is changed.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn set_trigger(
        &self,
        of: &Function,
        trigger: &AddTrigger,
    ) -> Result<TriggerInfo, Error> {
        self.make(of, "triggers", trigger, REPLACE).await
    }

    /// Removes a trigger of a function.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn remove_trigger(&self, of: &Function, name: &str) -> Result<(), Error> {
        let (path, query) = (path(of, "triggers"), format!("trigger={}", encoded(name)));
        let asked = Asked { path: &path, query: &query, ..asked(Method::DELETE) };
        self.ask(&asked).await.map(drop)
    }

    /// The schedules of a project.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn schedules(&self, project: &ProjectName) -> Result<Vec<ScheduleInfo>, Error> {
        let path = ["api", "v1", "schedules", project.as_str()];
        let page: SchedulePage = self.get(&path, &[]).await?;
        Ok(page.schedules)
    }

    /// Makes a schedule of a function.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn add_schedule(
        &self,
        of: &Function,
        schedule: &AddSchedule,
    ) -> Result<ScheduleInfo, Error> {
        self.make(of, "schedules", schedule, &[]).await
    }

    /// The same, where one of its name is changed.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn set_schedule(
        &self,
        of: &Function,
        schedule: &AddSchedule,
    ) -> Result<ScheduleInfo, Error> {
        self.make(of, "schedules", schedule, REPLACE).await
    }

    /// Removes a schedule of a function.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn remove_schedule(&self, of: &Function, name: &str) -> Result<(), Error> {
        let (path, query) = (path(of, "schedules"), format!("schedule={}", encoded(name)));
        let asked = Asked { path: &path, query: &query, ..asked(Method::DELETE) };
        self.ask(&asked).await.map(drop)
    }

    /// The last runs of a schedule, the newest first.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn runs(&self, of: &Function, name: &str) -> Result<Vec<Run>, Error> {
        let path = ["api", "v1", "functions", of.project.as_str(), of.name.as_str(), "runs"];
        let page: RunPage = self.get(&path, &[("schedule", name)]).await?;
        Ok(page.runs)
    }
}

/// A request of which the rest is to be said. What changes something is sent once.
pub(super) fn asked(method: Method) -> Asked<'static> {
    let again = if method == Method::GET { Again::Yes } else { Again::Unsent };
    Asked { method, path: "", query: "", headers: &[], body: None, again }
}
