//! Somebody who logs in without a screen: curl with a jar of cookies.

use std::path::PathBuf;
use std::process::Command;

use crate::identity::program;
use crate::lab::Lab;

/// More pages than any login has.
const PAGES_MAX: usize = 8;

/// A browser without a screen.
pub(crate) struct Walker {
    jar: PathBuf,
}

/// Where a walk ended.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) url: String,
    pub(crate) body: String,
}

impl Walker {
    pub(crate) fn new(lab: &Lab, name: &str) -> Self {
        Self { jar: lab.path(name) }
    }

    /// One request with these arguments of curl, and where it led.
    #[track_caller]
    pub(crate) fn go(&self, url: &str, arguments: &[&str]) -> Page {
        let mut curl = Command::new(program("curl"));
        curl.args(["-sS", "-L", "--max-redirs", "20", "-H", "Accept: text/html", "-b"]);
        curl.arg(&self.jar).arg("-c").arg(&self.jar);
        curl.args(["-w", "\n%{http_code} %{url_effective}"]).args(arguments).arg(url);
        let out = curl.output().unwrap();
        assert!(out.status.success(), "{url}: {}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).unwrap();
        let (body, end) = text.rsplit_once('\n').unwrap();
        let (status, url) = end.split_once(' ').unwrap();
        let (url, body) = (url.to_owned(), body.to_owned());
        Page { status: status.parse().unwrap(), url, body }
    }

    #[track_caller]
    pub(crate) fn get(&self, url: &str) -> Page {
        self.go(url, &[])
    }

    /// Sends the first form of a page, with these fields filled in.
    #[track_caller]
    pub(crate) fn submit(&self, page: &Page, filled: &[(&str, &str)]) -> Page {
        let form = page.body.split("<form").nth(1).unwrap_or_else(|| panic!("no form: {page:?}"));
        let form = form.split("</form").next().unwrap_or_default();
        let (head, inside) = form.split_once('>').unwrap();
        let action = attribute(head, "action").unwrap_or_else(|| page.url.clone());
        let action = match action.strip_prefix('/') {
            Some(path) => format!("{}/{path}", origin(&page.url)),
            None => action,
        };
        let hidden = inside.split("<input").filter_map(|tag| {
            let tag = tag.split('>').next()?;
            (attribute(tag, "type")? == "hidden")
                .then(|| Some((attribute(tag, "name")?, attribute(tag, "value")?)))?
        });
        let filled = filled.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut arguments = Vec::new();
        for (name, value) in hidden.chain(filled) {
            arguments.extend(["--data-urlencode".to_owned(), format!("{name}={value}")]);
        }
        self.go(&action, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Goes through the pages of the strict provider, from whatever page of it, as this user.
    #[track_caller]
    pub(crate) fn pass(&self, mut page: Page, issuer: &str, user: &str) -> Page {
        for _ in 0..PAGES_MAX {
            if !page.url.starts_with(issuer) || !page.body.contains("<form") {
                return page;
            }
            let asks = page.body.contains("name=\"login\"");
            let filled: &[_] = if asks { &[("login", user), ("password", "any")] } else { &[] };
            page = self.submit(&page, filled);
        }
        panic!("no end: {page:?}");
    }

    /// The cookie of that name, as the jar has it.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let jar = std::fs::read_to_string(&self.jar).unwrap_or_default();
        let mut lines = jar.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let found = lines.find(|fields| fields.get(5) == Some(&name))?;
        found.get(6).map(|value| (*value).to_owned())
    }
}

/// The scheme and the host of an address.
fn origin(url: &str) -> String {
    url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}

/// The value of an attribute, with or without quotes.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=")).or_else(|| {
        let (_, rest) = tag.split_once(&format!("\n{name}="))?;
        Some(("", rest))
    })?;
    let value = match rest.strip_prefix('"') {
        Some(rest) => rest.split('"').next()?,
        None => rest.split([' ', '/', '>']).next()?,
    };
    Some(value.to_owned())
}
