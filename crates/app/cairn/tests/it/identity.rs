//! Identity providers that others wrote, as processes.

use std::path::PathBuf;
use std::process::Command;

use cairn_testkit::tool;

use crate::lab::Lab;
use crate::process::Running;

/// A client of the strict provider: its id and its secret.
pub(crate) const CONFIDENTIAL: (&str, &str) = ("cairn app", "a:b/c+d %&=?");

/// A provider that answers.
pub(crate) struct Provider {
    running: Running,
    pub(crate) issuer: String,
}

impl Provider {
    /// One that takes any client and whoever says a name (`oidc-provider-mock`, in Python).
    pub(crate) fn lenient() -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" --port 0 2>&1"]).arg(program("oidc-provider-mock"));
        let mut running = Running::start(command);
        loop {
            // It tells among other things where it is.
            let line = running.line();
            if let Some((_, rest)) = line.split_once("running on http://") {
                let address = rest.split_whitespace().next().unwrap_or_default();
                return Self { running, issuer: format!("http://{address}") };
            }
        }
    }

    /// A certified one that takes its own clients alone, and PKCE alone (`oidc-provider`, in
    /// JavaScript). It sends browsers back to this address alone.
    pub(crate) fn strict(lab: &Lab, callback: &str) -> Self {
        let script = script(lab, "provider.mjs", include_str!("identity/provider.mjs"));
        let mut command = Command::new(program("node"));
        let mut running = Running::start({
            command.arg(script).arg(callback);
            command
        });
        let issuer = running.line();
        assert!(issuer.starts_with("http://localhost:"), "{issuer}");
        Self { running, issuer }
    }

    /// It stops to answer.
    pub(crate) fn kill(self) {
        self.running.kill();
    }
}

pub(crate) fn program(name: &str) -> PathBuf {
    tool::find(name).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Puts a script where it finds the packages that were set up.
pub(crate) fn script(lab: &Lab, name: &str, text: &str) -> PathBuf {
    let modules = tool::node_modules().unwrap_or_else(|error| panic!("{error:#}"));
    lab.write(&format!("scripts/{name}"), text);
    let link = lab.path("scripts/node_modules");
    if !link.exists() {
        std::os::unix::fs::symlink(modules, link).unwrap();
    }
    lab.path(&format!("scripts/{name}"))
}
