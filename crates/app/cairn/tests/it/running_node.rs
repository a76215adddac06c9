//! Nodes: `cairn up` as a process.

use serde_json::Value;

use crate::lab::Lab;
use crate::process::{Ended, Running};

/// A node that answers, on a free port.
pub(crate) struct Node {
    running: Running,
    pub(crate) url: String,
    /// Where it listens for clients of Redis, if it does.
    pub(crate) redis: String,
    /// Where its functions answer requests, if they do.
    pub(crate) web: String,
    /// Root's token. Empty when the bucket had one before.
    pub(crate) token: String,
    /// The SHA-256 of the certificate of its cluster's authority.
    pub(crate) authority: String,
}

impl Node {
    pub(crate) fn start(lab: &Lab) -> Self {
        Self::start_with(lab, "127.0.0.1:0", "")
    }

    /// With these words more on its command line.
    pub(crate) fn start_with(lab: &Lab, listen: &str, more: &str) -> Self {
        Self::up(lab, &format!("--listen {listen} {more}"))
    }

    /// A node that was started with these options.
    pub(crate) fn up(lab: &Lab, options: &str) -> Self {
        let mut running = lab.start(&format!("--json up --no-gc {options}"));
        let said: Value = serde_json::from_str(&running.line()).unwrap();
        crate::documented::check("up", &said);
        let authority = said["authority_sha256"].as_str().unwrap().to_owned();
        let url = said["urls"][0].as_str().unwrap().to_owned();
        let token = said["root_token"].as_str().unwrap_or_default().to_owned();
        let redis = said["redis_urls"][0].as_str().unwrap_or_default().to_owned();
        let web = said["web_urls"][0].as_str().unwrap_or_default().to_owned();
        Self { running, url, redis, web, token, authority }
    }

    /// Another node on the same bucket, which knows the same tokens.
    pub(crate) fn beside(&self, lab: &Lab) -> Self {
        self.beside_with(lab, "")
    }

    /// The same, with these words more on its command line.
    pub(crate) fn beside_with(&self, lab: &Lab, more: &str) -> Self {
        let other = Self::start_with(lab, "127.0.0.1:0", more);
        assert_eq!(other.token, "", "a bucket has one root");
        Self { token: self.token.clone(), ..other }
    }

    /// The node after it was killed, and started again where it was.
    pub(crate) fn killed(self, lab: &Lab, meanwhile: impl FnOnce()) -> Self {
        self.restarted(lab, "", meanwhile)
    }

    /// The same, with these words more on its command line.
    pub(crate) fn killed_with(self, lab: &Lab, more: &str) -> Self {
        self.restarted(lab, more, || ())
    }

    /// The same, and something is done while it is down.
    pub(crate) fn restarted(self, lab: &Lab, more: &str, meanwhile: impl FnOnce()) -> Self {
        let (address, token) = (self.url.replace("http://", ""), self.token.clone());
        self.kill();
        meanwhile();
        Self { token, ..Self::start_with(lab, &address, more) }
    }

    pub(crate) fn kill(self) {
        self.running.kill();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub(crate) fn signal(&self, name: &str) {
        self.running.signal(name);
    }

    pub(crate) fn stop(self) -> Ended {
        self.running.signal("TERM");
        self.running.end()
    }
}
