//! One client: who it is, which namespace it is at, and the transaction that it has begun.

use std::sync::Arc;
use std::time::Duration;

use crate::command::{About, COMMANDS, Command, Does};
use crate::error::Error;
use crate::generic;
use crate::keys::Heavy;
use crate::limits::{
    ASK_EVERY, NAME_BYTES_MAX, QUEUED_BYTES_MAX, QUEUED_MAX, TOGETHER_BYTES, TOGETHER_MAX,
    WATCHED_MAX,
};
use crate::reply::{OK, Protocol, Reply};
use crate::words::{Words, name};
use crate::work::{Given, Place, Watched, Work};
use bytes::Bytes;
use cairn_access::{Access, Action, Origin, Peer, Resource, Shown, Use, Visit};
use cairn_kv::Namespace;

/// What became of a command.
pub(crate) enum Step {
    /// It is done.
    Done(Reply),
    /// It is kept, to be done together with those that come after it ([`Session::finish`]).
    Kept,
    /// It is done, and it was the last one.
    Last(Reply),
}

/// A client.
pub(crate) struct Session {
    place: Arc<Place>,
    access: Access,
    peer: Peer,
    /// Its number among the connections of this node.
    id: i64,
    name: Bytes,
    pub(crate) protocol: Protocol,
    user: Option<User>,
    queue: Option<Queue>,
    watched: Vec<Watched>,
    /// Commands of a pipeline that are to be done together, and what is told of their changes.
    kept: Vec<Given>,
    kept_bytes: usize,
    kept_used: Option<Use>,
    /// A place for the answers that are under way.
    heavy: Option<Heavy>,
}

/// Somebody who was let in.
struct User {
    visit: Visit,
    /// When that was last looked at.
    asked: Duration,
    namespace: Arc<Namespace>,
    /// What it was allowed then: to read, and to write.
    uses: [Option<Use>; 2],
}

/// The commands between MULTI and EXEC.
#[derive(Default)]
struct Queue {
    commands: Vec<Given>,
    bytes: usize,
    /// One of them was wrong: none is done.
    broken: bool,
}

const NO_AUTH: &str = "NOAUTH Authentication required: AUTH PROJECT/NAMESPACE TOKEN";

impl Session {
    pub(crate) fn new(place: Arc<Place>, access: Access, peer: Peer, id: i64) -> Self {
        Self {
            place,
            access,
            peer,
            id,
            name: Bytes::new(),
            protocol: Protocol::default(),
            user: None,
            queue: None,
            watched: Vec::new(),
            kept: Vec::new(),
            kept_bytes: 0,
            kept_used: None,
            heavy: None,
        }
    }

    /// Whether it is somebody.
    pub(crate) fn is_known(&self) -> bool {
        self.user.is_some()
    }

    /// Bytes of commands between MULTI and EXEC.
    pub(crate) fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes)
    }

    /// The place of answers that are under way: to be kept until they are sent.
    pub(crate) fn heavy(&mut self) -> Option<Heavy> {
        self.heavy.take()
    }

    /// Whether a command may be kept beside those that are: others wait until those are done.
    pub(crate) fn keeps(&self, called: Option<&Command>) -> bool {
        let full = self.kept.len() >= TOGETHER_MAX || self.kept_bytes >= TOGETHER_BYTES;
        let keeps = |command: &Command| command.about().is_none() && !command.is_alone();
        self.queue.is_none() && !full && called.is_some_and(keeps)
    }

    /// Does a command, or keeps it. Its first word is the name of `called`, or of none.
    pub(crate) async fn take(
        &mut self,
        called: Option<&'static Command>,
        words: Vec<Bytes>,
    ) -> Step {
        match self.step(called, words).await {
            Ok(step) => step,
            Err(error) => {
                if let Some(queue) = &mut self.queue {
                    *queue = Queue { broken: true, ..Queue::default() };
                }
                Step::Done(error.into())
            }
        }
    }

    /// Does what was kept: an answer to each.
    pub(crate) async fn finish(&mut self) -> Vec<Reply> {
        let (commands, used) = (std::mem::take(&mut self.kept), self.kept_used.take());
        self.kept_bytes = 0;
        let Some(user) = self.user.as_ref().filter(|_| !commands.is_empty()) else {
            return Vec::new();
        };
        let (count, namespace, watched) = (commands.len(), Arc::clone(&user.namespace), Vec::new());
        let place = Arc::clone(&self.place);
        let work = Work { place, namespace, commands, watched, transaction: false, used };
        match self.place.env.finish(work.done()).await {
            Ok(done) => {
                self.heavy = done.heavy;
                done.replies.unwrap_or_default()
            }
            Err(error) => vec![error.into(); count],
        }
    }

    async fn step(
        &mut self,
        found: Option<&'static Command>,
        words: Vec<Bytes>,
    ) -> Result<Step, Error> {
        let open = found.is_some_and(|command| matches!(command.does, Does::Connection(_)));
        if !open && self.user.is_none() {
            return Err(Error::Said(NO_AUTH.to_owned()));
        }
        let unknown = || {
            let called = name(&words[0]);
            Error::said(format_args!("unknown command '{}'", called.escape_debug()))
        };
        let command = found.ok_or_else(unknown)?;
        command.check(words.len()).map_err(|error| self.aborted(command, error))?;
        match command.about() {
            Some(About::Quit) => Ok(Step::Last(OK)),
            Some(about) => self.about(about, &words).await.map(Step::Done),
            None => self.keys(Given { command, words }).await,
        }
    }

    /// A wrong EXEC undoes what came before it, as in Redis.
    fn aborted(&mut self, command: &Command, error: Error) -> Error {
        if command.about() != Some(About::Exec) {
            return error;
        }
        (self.queue, self.watched) = (None, Vec::new());
        Error::Said(format!("EXECABORT Transaction discarded because of: {error}"))
    }

    async fn about(&mut self, about: About, words: &[Bytes]) -> Result<Reply, Error> {
        let transacts = [About::Exec, About::Discard, About::Multi, About::Watch, About::Reset];
        if self.queue.is_some() && !transacts.contains(&about) {
            let called = name(&words[0]);
            return Err(Error::said(format_args!("'{called}' is not done in a transaction")));
        }
        match about {
            About::Auth => self.auth(words).await,
            About::Hello => self.hello(words).await,
            About::Reset => Ok(self.reset()),
            About::Ping => Ok(words.get(1).map_or(Reply::Word("PONG"), echo)),
            About::Echo => Ok(echo(&words[1])),
            About::Select => generic::select(words),
            About::Client => self.client(words),
            About::Command => described(words),
            About::Info => Ok(Reply::text(INFO)),
            About::Time => Ok(self.time()),
            About::Multi => Ok(self.multi()),
            About::Exec => self.exec().await,
            About::Discard => self.discard(),
            About::Watch => self.watch(words).await,
            About::Unwatch => {
                self.watched.clear();
                Ok(OK)
            }
            About::Quit => Ok(OK),
        }
    }

    /// `AUTH PROJECT/NAMESPACE TOKEN`
    async fn auth(&mut self, words: &[Bytes]) -> Result<Reply, Error> {
        let [_, user, token] = words else {
            let why = "the user is the namespace, and the password is a token";
            return Err(Error::said(format_args!("AUTH PROJECT/NAMESPACE TOKEN: {why}")));
        };
        self.let_in(user, token).await?;
        Ok(OK)
    }

    async fn let_in(&mut self, user: &[u8], token: &[u8]) -> Result<(), Error> {
        // Who fails is nobody, whoever he was before.
        self.user = None;
        let namespace = namespace(user)?;
        let origin = Origin { door: "redis", request: self.id.to_string(), peer: self.peer };
        let token = std::str::from_utf8(token).ok().filter(|text| text.is_ascii());
        let refused = cairn_access::Error::Header { detail: "a token is letters and digits" };
        let Some(token) = token else { return Err(self.access.refuse(&origin, refused).into()) };
        let bearer = format!("Bearer {token}");
        let authorization = (!token.is_empty()).then_some(bearer.as_str());
        let shown = Shown { authorization, ..Shown::default() };
        let visit = self.access.admit(shown, origin).await?;
        let asked = self.place.env.clock.monotonic();
        (self.queue, self.watched) = (None, Vec::new());
        let about = Resource::Dataset(namespace.project.clone(), namespace.name.clone());
        // Who may do nothing there is a stranger there.
        let reads = visit.authorize_counted(Action::ReadKeys, &about)?;
        let namespace = Arc::new(namespace);
        self.user = Some(User { visit, asked, namespace, uses: [Some(reads), None] });
        Ok(())
    }

    /// `HELLO [2 | 3 [AUTH PROJECT/NAMESPACE TOKEN] [SETNAME name]]`
    async fn hello(&mut self, words: &[Bytes]) -> Result<Reply, Error> {
        let mut rest = Words::of(words);
        let protocol = match rest.maybe().map(|word| &word[..]) {
            None => self.protocol,
            Some(b"2") => Protocol::Two,
            Some(b"3") => Protocol::Three,
            Some(_) => return Err(Error::Said("NOPROTO unsupported protocol version".to_owned())),
        };
        let mut called = None;
        while let Some(option) = rest.option() {
            match option.as_str() {
                "auth" => {
                    let (user, token) = (rest.next()?, rest.next()?);
                    self.let_in(user, token).await?;
                }
                "setname" => called = Some(rest.next()?.clone()),
                _ => return Err(Error::syntax()),
            }
        }
        if self.user.is_none() {
            return Err(Error::Said(NO_AUTH.to_owned()));
        }
        self.protocol = protocol;
        if let Some(called) = called {
            self.set_name(&called)?;
        }
        let number = if protocol == Protocol::Three { 3 } else { 2 };
        Ok(Reply::Map(vec![
            ("server", Reply::text("cairn")),
            ("version", Reply::text(env!("CARGO_PKG_VERSION"))),
            ("proto", Reply::Number(number)),
            ("id", Reply::Number(self.id)),
            ("mode", Reply::text("standalone")),
            ("role", Reply::text("master")),
            ("modules", Reply::List(Vec::new())),
        ]))
    }

    fn reset(&mut self) -> Reply {
        let (place, access) = (Arc::clone(&self.place), self.access.clone());
        *self = Self::new(place, access, self.peer, self.id);
        Reply::Word("RESET")
    }

    fn client(&mut self, words: &[Bytes]) -> Result<Reply, Error> {
        let mut rest = Words::of(words);
        match rest.option().as_deref() {
            Some("id") => Ok(Reply::Number(self.id)),
            Some("getname") if self.name.is_empty() => Ok(Reply::Nothing),
            Some("getname") => Ok(Reply::Bytes(self.name.clone())),
            Some("setname") => {
                let called = rest.next()?;
                self.set_name(called)?;
                Ok(OK)
            }
            // What a client says of itself and its wishes for a cache that is not there.
            Some("setinfo" | "no-evict" | "no-touch") => Ok(OK),
            _ => Err(Error::said("unknown subcommand of CLIENT")),
        }
    }

    fn set_name(&mut self, called: &Bytes) -> Result<(), Error> {
        if called.len() > NAME_BYTES_MAX {
            return Err(Error::said(format_args!("a name has at most {NAME_BYTES_MAX} bytes")));
        }
        self.name = called.clone();
        Ok(())
    }

    fn time(&self) -> Reply {
        let us = self.place.env.clock.wall_ns() / 1000;
        let (seconds, us) = (us.div_euclid(1_000_000), us.rem_euclid(1_000_000));
        Reply::List(vec![Reply::text(seconds.to_string()), Reply::text(us.to_string())])
    }

    /// In a transaction it is refused and breaks nothing, as in Redis.
    fn multi(&mut self) -> Reply {
        if self.queue.is_some() {
            return Error::said("MULTI calls can not be nested").into();
        }
        self.queue = Some(Queue::default());
        OK
    }

    fn discard(&mut self) -> Result<Reply, Error> {
        self.queue.take().ok_or_else(|| Error::said("DISCARD without MULTI"))?;
        self.watched.clear();
        Ok(OK)
    }

    /// In a transaction it is refused and breaks nothing, as in Redis.
    async fn watch(&mut self, words: &[Bytes]) -> Result<Reply, Error> {
        if self.queue.is_some() {
            return Ok(Error::said("WATCH inside MULTI is not allowed").into());
        }
        if self.watched.len() + words.len() > WATCHED_MAX + 1 {
            let why = format!("at most {WATCHED_MAX} keys are watched at a time");
            return Err(Error::said(why));
        }
        self.counted(Action::ReadKeys).await?;
        let looked = self.place.look_at(&self.namespace()?, &words[1..]).await?;
        // The first look at a key is the one that counts.
        for (key, seq) in looked {
            if self.watched.iter().all(|(watched, _)| *watched != key) {
                self.watched.push((key, seq));
            }
        }
        Ok(OK)
    }

    async fn exec(&mut self) -> Result<Reply, Error> {
        let queue = self.queue.take().ok_or_else(|| Error::said("EXEC without MULTI"))?;
        let watched = std::mem::take(&mut self.watched);
        if queue.broken {
            let why = "EXECABORT Transaction discarded because of previous errors.";
            return Err(Error::Said(why.to_owned()));
        }
        let work = self.work(queue.commands, watched).await?;
        let done = self.place.env.finish(work.done()).await?;
        self.heavy = done.heavy;
        Ok(done.replies.map_or(Reply::NoList, Reply::List))
    }

    /// A command of keys: kept for EXEC, or for those that come after it.
    async fn keys(&mut self, given: Given) -> Result<Step, Error> {
        if let Some(queue) = &mut self.queue {
            return queue.put(given).map(Step::Done);
        }
        if given.command.is_alone() {
            let work = self.work(vec![given], Vec::new()).await?;
            let done = self.place.env.finish(work.done()).await?;
            self.heavy = done.heavy;
            let reply = done.replies.and_then(|mut all| all.pop());
            return Ok(Step::Done(reply.unwrap_or(Reply::Nothing)));
        }
        if let Does::Keys(action, _) = given.command.does {
            let used = self.counted(action).await?;
            if action == Action::WriteKeys {
                self.kept_used = Some(used);
            }
        }
        self.kept_bytes = self.kept_bytes.saturating_add(given.bytes());
        self.kept.push(given);
        Ok(Step::Kept)
    }

    /// Work that the client may do at this moment: each command is counted (ACCESS-9).
    async fn work(&mut self, commands: Vec<Given>, watched: Vec<Watched>) -> Result<Work, Error> {
        let mut used = None;
        // Also without commands: keys may be watched.
        let mut asked = self.counted(Action::ReadKeys).await?;
        for given in &commands {
            let Does::Keys(action, _) = given.command.does else { continue };
            asked = self.counted(action).await?;
            if action == Action::WriteKeys {
                used = Some(asked.clone());
            }
        }
        drop(asked);
        let namespace = self.namespace()?;
        let place = Arc::clone(&self.place);
        Ok(Work { place, namespace, commands, watched, transaction: true, used })
    }

    fn namespace(&self) -> Result<Arc<Namespace>, Error> {
        let user = self.user.as_ref().ok_or_else(|| Error::Said(NO_AUTH.to_owned()))?;
        Ok(Arc::clone(&user.namespace))
    }

    /// Asks whether the client may, on a state that is not older than a moment (ACCESS-5).
    async fn counted(&mut self, action: Action) -> Result<Use, Error> {
        let now = self.place.env.clock.monotonic();
        let user = self.user.as_mut().ok_or_else(|| Error::Said(NO_AUTH.to_owned()))?;
        if now.saturating_sub(user.asked) > ASK_EVERY {
            user.visit = user.visit.again().await?;
            (user.asked, user.uses) = (now, [None, None]);
        }
        let known = &mut user.uses[usize::from(action == Action::WriteKeys)];
        if let Some(used) = known {
            used.again()?;
            return Ok(used.clone());
        }
        let Namespace { project, name } = Namespace::clone(&user.namespace);
        let used = user.visit.authorize_counted(action, &Resource::Dataset(project, name))?;
        Ok(known.insert(used).clone())
    }
}

impl Queue {
    fn put(&mut self, given: Given) -> Result<Reply, Error> {
        if given.command.is_alone() {
            let called = given.command.name;
            return Err(Error::said(format_args!("'{called}' is not done in a transaction")));
        }
        if self.broken {
            return Ok(Reply::Word("QUEUED"));
        }
        self.bytes = self.bytes.saturating_add(given.bytes());
        if self.commands.len() >= QUEUED_MAX || self.bytes > QUEUED_BYTES_MAX {
            let max = QUEUED_BYTES_MAX >> 20;
            let why = format!("a transaction has at most {QUEUED_MAX} commands and {max} MiB");
            return Err(Error::said(why));
        }
        self.commands.push(given);
        Ok(Reply::Word("QUEUED"))
    }
}

const INFO: &str = concat!(
    "# Server\r\nserver_name:cairn\r\ncairn_version:",
    env!("CARGO_PKG_VERSION"),
    "\r\nredis_mode:standalone\r\n\r\n# Replication\r\nrole:master\r\n"
);

fn echo(word: &Bytes) -> Reply {
    Reply::Bytes(word.clone())
}

/// The namespace of a user's name: `PROJECT/NAME`, or `NAME` in `main`.
fn namespace(user: &[u8]) -> Result<Namespace, Error> {
    let wrong = || {
        let text = "ERR the user is a namespace, as PROJECT/NAME".to_owned();
        Error::Said(text)
    };
    let text = std::str::from_utf8(user).map_err(|_| wrong())?;
    let text = text.strip_prefix('@').unwrap_or(text);
    let (project, name) = match text.split_once('/') {
        Some((project, name)) => (project.parse().map_err(|_| wrong())?, name),
        None => (cairn_base::ProjectName::default(), text),
    };
    Ok(Namespace { project, name: name.parse().map_err(|_| wrong())? })
}

/// `COMMAND [COUNT | LIST | DOCS | INFO [name …]]`
fn described(words: &[Bytes]) -> Result<Reply, Error> {
    let mut rest = Words::of(words);
    match rest.option().as_deref() {
        None => Ok(Reply::List(COMMANDS.iter().map(description).collect())),
        Some("count") => Ok(Reply::count(COMMANDS.len())),
        Some("list") => {
            Ok(Reply::List(COMMANDS.iter().map(|command| Reply::text(command.name)).collect()))
        }
        Some("docs") => Ok(Reply::Map(Vec::new())),
        Some("info") if rest.is_empty() => {
            Ok(Reply::List(COMMANDS.iter().map(description).collect()))
        }
        Some("info") => {
            let named = rest.rest().iter().map(|word| Command::find(word));
            Ok(Reply::List(named.map(|found| found.map_or(Reply::NoList, description)).collect()))
        }
        Some(_) => Err(Error::said("unknown subcommand of COMMAND")),
    }
}

/// Name, arity, flags, and where its keys are: the first, the last, and how far one is from the next.
fn description(command: &Command) -> Reply {
    let (flag, keys) = match command.does {
        Does::Keys(Action::ReadKeys, _) => ("readonly", command.places()),
        Does::Keys(..) => ("write", command.places()),
        Does::Connection(_) => ("no_auth", [0; 3]),
        Does::Session(_) => ("fast", [0; 3]),
    };
    let mut all = vec![
        Reply::text(command.name),
        Reply::Number(command.arity),
        Reply::List(vec![Reply::Word(flag)]),
    ];
    all.extend(keys.map(Reply::Number));
    Reply::List(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_namespace() {
        for text in ["main/carts", "@main/carts", "carts"] {
            assert_eq!(namespace(text.as_bytes()).unwrap().to_string(), "@main/carts");
        }
        assert_eq!(namespace(b"lab/x").unwrap().to_string(), "@lab/x");
        for text in [&b""[..], b"a/b/c", b"\xff", b"/"] {
            assert!(namespace(text).is_err());
        }
    }
}
