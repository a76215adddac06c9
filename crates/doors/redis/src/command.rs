//! The commands, and what it takes to give them. A command that is not in the table is not there, and none
//! is in it without a permission (ACCESS-1).

use bytes::Bytes;
use cairn_access::Action;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::error::Error;
use crate::keys::Keys;
use crate::reply::Reply;
use crate::scans::Scans;
use crate::{expiry, generic, strings};

/// What a command does with keys.
pub(crate) type Run =
    for<'a> fn(&'a mut Keys, &'a Scans, &'a [Bytes]) -> BoxFuture<'a, Result<Reply, Error>>;

/// What a command concerns.
#[derive(Clone, Copy)]
pub(crate) enum Does {
    /// The connection. It needs no credential.
    Connection(About),
    /// The connection, of somebody who is let in.
    Session(About),
    /// The keys: it takes this action on the namespace.
    Keys(Action, Run),
}

/// Commands of the connection itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Auth,
    Hello,
    Quit,
    Reset,
    Ping,
    Echo,
    Select,
    Client,
    Command,
    Info,
    Time,
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
}

/// One command.
pub(crate) struct Command {
    /// Its name, in lower case.
    pub(crate) name: &'static str,
    /// How many words it has with its name; as many at least when it is less than nought.
    pub(crate) arity: i64,
    pub(crate) does: Does,
}

impl Command {
    /// The command with this name.
    pub(crate) fn find(name: &[u8]) -> Option<&'static Self> {
        let is = |command: &&Self| command.name.as_bytes().eq_ignore_ascii_case(name);
        COMMANDS.iter().find(is)
    }

    /// Fails when it cannot have so many words.
    pub(crate) fn check(&self, words: usize) -> Result<(), Error> {
        let words = i64::try_from(words).unwrap_or(i64::MAX);
        if words == self.arity || self.arity < 0 && words >= -self.arity {
            return Ok(());
        }
        let name = self.name;
        Err(Error::said(format_args!("wrong number of arguments for '{name}' command")))
    }

    pub(crate) fn about(&self) -> Option<About> {
        match self.does {
            Does::Connection(about) | Does::Session(about) => Some(about),
            Does::Keys(..) => None,
        }
    }

    /// Whether it changes what it changes whatever is there: many of these may be under way at a time.
    pub(crate) fn is_blind(&self, words: &[Bytes]) -> bool {
        match self.name {
            "set" => strings::set_is_blind(words),
            name => ["mset", "setex", "psetex"].contains(&name),
        }
    }

    /// Where its keys are: the word of the first, of the last (−1 for the last word), and how far it is from one
    /// to the next.
    pub(crate) fn places(&self) -> [i64; 3] {
        match self.name {
            "scan" | "keys" | "dbsize" | "flushdb" => [0, 0, 0],
            "mset" | "msetnx" => [1, -1, 2],
            "mget" | "del" | "unlink" | "exists" | "touch" => [1, -1, 1],
            "rename" | "renamenx" => [1, 2, 1],
            _ => [1, 1, 1],
        }
    }

    /// Whether it works on the present alone, and not in a transaction.
    pub(crate) fn is_alone(&self) -> bool {
        ["scan", "keys", "dbsize"].contains(&self.name)
    }
}

macro_rules! keys {
    ($action:ident $name:literal $arity:literal $run:path) => {
        Command {
            name: $name,
            arity: $arity,
            does: Does::Keys(Action::$action, |keys, _, words| $run(keys, words).boxed()),
        }
    };
}

const fn open(name: &'static str, arity: i64, about: About) -> Command {
    Command { name, arity, does: Does::Connection(about) }
}

const fn session(name: &'static str, arity: i64, about: About) -> Command {
    Command { name, arity, does: Does::Session(about) }
}

/// Every command of this door.
pub(crate) const COMMANDS: &[Command] = &[
    open("auth", -2, About::Auth),
    open("hello", -1, About::Hello),
    open("quit", -1, About::Quit),
    open("reset", 1, About::Reset),
    session("ping", -1, About::Ping),
    session("echo", 2, About::Echo),
    session("select", 2, About::Select),
    session("client", -2, About::Client),
    session("command", -1, About::Command),
    session("info", -1, About::Info),
    session("time", 1, About::Time),
    session("multi", 1, About::Multi),
    session("exec", 1, About::Exec),
    session("discard", 1, About::Discard),
    session("watch", -2, About::Watch),
    session("unwatch", 1, About::Unwatch),
    keys!(ReadKeys "get" 2 strings::get),
    keys!(ReadKeys "mget" -2 strings::get_many),
    keys!(ReadKeys "strlen" 2 strings::length),
    keys!(ReadKeys "getrange" 4 strings::range),
    keys!(ReadKeys "substr" 4 strings::range),
    keys!(WriteKeys "getdel" 2 strings::get_and_delete),
    keys!(WriteKeys "getex" -2 strings::get_and_expire),
    keys!(WriteKeys "getset" 3 strings::get_and_set),
    keys!(WriteKeys "set" -3 strings::set),
    keys!(WriteKeys "setnx" 3 strings::set_if_absent),
    keys!(WriteKeys "setex" 4 strings::set_for_seconds),
    keys!(WriteKeys "psetex" 4 strings::set_for_ms),
    keys!(WriteKeys "mset" -3 strings::set_many),
    keys!(WriteKeys "msetnx" -3 strings::set_many_if_absent),
    keys!(WriteKeys "append" 3 strings::append),
    keys!(WriteKeys "setrange" 4 strings::overwrite),
    keys!(WriteKeys "incr" 2 strings::increment),
    keys!(WriteKeys "decr" 2 strings::decrement),
    keys!(WriteKeys "incrby" 3 strings::increment_by),
    keys!(WriteKeys "decrby" 3 strings::decrement_by),
    keys!(WriteKeys "del" -2 generic::delete),
    keys!(WriteKeys "unlink" -2 generic::delete),
    keys!(WriteKeys "delex" -2 generic::delete_if),
    keys!(WriteKeys "rename" 3 generic::rename),
    keys!(WriteKeys "renamenx" 3 generic::rename_if_absent),
    keys!(WriteKeys "flushdb" -1 generic::delete_all),
    keys!(ReadKeys "exists" -2 generic::exists),
    keys!(ReadKeys "touch" -2 generic::exists),
    keys!(ReadKeys "type" 2 generic::kind),
    keys!(ReadKeys "keys" 2 generic::matching),
    keys!(ReadKeys "dbsize" 1 generic::count),
    Command {
        name: "scan",
        arity: -2,
        does: Does::Keys(Action::ReadKeys, |keys, scans, words| {
            generic::scan(keys, scans, words).boxed()
        }),
    },
    keys!(WriteKeys "expire" -3 expiry::in_seconds),
    keys!(WriteKeys "pexpire" -3 expiry::in_ms),
    keys!(WriteKeys "expireat" -3 expiry::at_second),
    keys!(WriteKeys "pexpireat" -3 expiry::at_ms),
    keys!(WriteKeys "persist" 2 expiry::persist),
    keys!(ReadKeys "ttl" 2 expiry::left_seconds),
    keys!(ReadKeys "pttl" 2 expiry::left_ms),
    keys!(ReadKeys "expiretime" 2 expiry::end_second),
    keys!(ReadKeys "pexpiretime" 2 expiry::end_ms),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// ACCESS-1: without a credential nothing can be done but to show one.
    #[test]
    fn access_1_strangers_can_show_a_credential_and_go() {
        let open: Vec<&str> = COMMANDS
            .iter()
            .filter(|command| matches!(command.does, Does::Connection(_)))
            .map(|command| command.name)
            .collect();
        assert_eq!(open, ["auth", "hello", "quit", "reset"]);
        let mut names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMMANDS.len());
    }

    /// ACCESS-1: what changes keys takes the action that changes them.
    #[test]
    fn access_1_what_only_reads_is_what_its_name_says() {
        for command in COMMANDS {
            let Does::Keys(action, _) = command.does else { continue };
            let reads = [
                "get",
                "mget",
                "strlen",
                "getrange",
                "substr",
                "exists",
                "touch",
                "type",
                "keys",
                "dbsize",
                "scan",
                "ttl",
                "pttl",
                "expiretime",
                "pexpiretime",
            ];
            assert_eq!(
                action == Action::ReadKeys,
                reads.contains(&command.name),
                "{}",
                command.name
            );
        }
    }

    #[test]
    fn a_command_says_how_many_words_it_has() {
        let get = Command::find(b"get").unwrap();
        assert!(get.check(2).is_ok() && get.check(1).is_err() && get.check(3).is_err());
        let del = Command::find(b"del").unwrap();
        assert!(del.check(1).is_err() && del.check(9).is_ok());
    }
}
