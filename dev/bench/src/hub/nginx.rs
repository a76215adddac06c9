//! nginx as a file server.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

const READY_ATTEMPTS_MAX: u32 = 500;
const READY_PAUSE: Duration = Duration::from_millis(10);

/// A server; ended when dropped.
pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Nginx {
    /// Serves `root` on a free port, from a directory of its own.
    pub(crate) fn start(place: &Path, root: &Path) -> Result<Self> {
        std::fs::create_dir_all(place)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = place.join("nginx.conf");
        std::fs::write(&config, configuration(place, root, address))?;
        let mut command = Command::new(program());
        command.arg("-c").arg(&config).arg("-p").arg(place).arg("-e").arg(place.join("errors"));
        command.args(["-g", "daemon off;"]).stdin(Stdio::null());
        let child = command.spawn().with_context(missing)?;
        let server = Self { child, address };
        for _ in 0..READY_ATTEMPTS_MAX {
            if TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(READY_PAUSE);
        }
        let errors = std::fs::read_to_string(place.join("errors")).unwrap_or_default();
        bail!("nginx does not answer on {address}:\n{errors}")
    }
}

impl Drop for Nginx {
    /// Asks for it, so that the workers end too.
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        drop(Command::new("kill").args(["-s", "TERM", &pid]).status());
        drop(self.child.wait());
    }
}

/// Debian puts it where only administrators look.
fn program() -> &'static str {
    let known = "/usr/sbin/nginx";
    if Path::new(known).exists() { known } else { "nginx" }
}

fn missing() -> String {
    "nginx cannot be started; install it with `cargo xtask setup --group bench`".to_owned()
}

/// What it says of itself.
pub(crate) fn version() -> Result<String> {
    let output = Command::new(program()).arg("-v").output().with_context(missing)?;
    ensure!(output.status.success(), "nginx -v failed");
    Ok(String::from_utf8_lossy(&output.stderr)
        .trim()
        .trim_start_matches("nginx version: ")
        .to_owned())
}

fn configuration(place: &Path, root: &Path, address: SocketAddr) -> String {
    // Workers of root are somebody else, who may not read the files.
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    let (place, root) = (place.display(), root.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("  {name}_temp_path {place}/{name};\n"))
        .collect();
    format!(
        "user {user};\nworker_processes auto;\npid {place}/pid;\nerror_log {place}/errors;\n\
         events {{ worker_connections 4096; }}\nhttp {{\n  access_log off;\n  sendfile on;\n  \
         tcp_nopush on;\n  keepalive_requests 100000000;\n{temporary}  types {{ application/json json; }}\n  \
         server {{\n    listen {address} backlog=4096;\n    location / {{ root {root}; autoindex on; }}\n  }}\n}}\n"
    )
}
