//! The manifest: what functions are to be, with their routes, schedules and grants. `cairn.toml`, whose other
//! sections are settings of a node.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use cairn_access::{Pattern, Role};
use cairn_base::DatasetName;
use cairn_env::Env;
use cairn_functions::{Auth, Function, Isolation, Limits, Plan, Settings, TriggerSpec};
use cairn_http::api::{AddSchedule, AddTrigger};
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use self::files::Served;
pub(crate) use self::files::WantedFiles;
use crate::command::functions::named;
use crate::exit::Usage;

/// What is to be.
pub(crate) struct Wishes {
    pub(crate) functions: Vec<Wanted>,
    pub(crate) files: Vec<WantedFiles>,
}

/// What a function is to be.
pub(crate) struct Wanted {
    pub(crate) function: Function,
    pub(crate) code: Bytes,
    /// The hash of its component.
    pub(crate) digest: String,
    pub(crate) settings: Settings,
    /// By pattern.
    pub(crate) routes: BTreeMap<String, Auth>,
    /// Priorities by name.
    pub(crate) filters: BTreeMap<String, u16>,
    /// By name.
    pub(crate) schedules: BTreeMap<String, AddSchedule>,
    /// By name.
    pub(crate) triggers: BTreeMap<String, AddTrigger>,
    /// Roles, and on what; none where the manifest says nothing of grants.
    pub(crate) grants: Option<BTreeSet<(String, String)>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    #[serde(default)]
    functions: BTreeMap<Spanned<String>, Declared>,
    /// Routes to files, by dataset.
    #[serde(default)]
    files: BTreeMap<Spanned<String>, Served>,
    /// Settings of a node.
    #[serde(default, rename = "node")]
    _node: Option<IgnoredAny>,
    #[serde(default, rename = "tls")]
    _tls: Option<IgnoredAny>,
    #[serde(default, rename = "cache")]
    _cache: Option<IgnoredAny>,
    #[serde(default, rename = "limits")]
    _limits: Option<IgnoredAny>,
    #[serde(default, rename = "log")]
    _log: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    /// Its code, relative to the manifest.
    file: Spanned<PathBuf>,
    /// What makes that: a command of the shell, in the manifest's folder.
    build: Option<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    outbound: Vec<String>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    isolation: Isolation,
    #[serde(default)]
    routes: Vec<Route>,
    #[serde(default)]
    filters: BTreeMap<String, u16>,
    #[serde(default)]
    schedules: Vec<Spanned<AddSchedule>>,
    #[serde(default)]
    triggers: Vec<Spanned<AddTrigger>>,
    grants: Option<Vec<Grant>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    pattern: Spanned<String>,
    #[serde(default)]
    public: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    role: Spanned<String>,
    /// `NAME`, of the function's project, or `@PROJECT/NAME`.
    on: Spanned<String>,
}

/// A manifest as it was read, to say where something is wrong.
struct Source<'a> {
    file: &'a Path,
    text: &'a str,
    now_ms: u64,
}

/// The functions of a manifest, each with the command that builds it.
pub(crate) fn builds(file: &Path) -> anyhow::Result<Vec<(String, Option<String>)>> {
    let functions = parsed(file)?.1.functions.into_iter();
    Ok(functions.map(|(name, declared)| (name.into_inner(), declared.build)).collect())
}

/// The folder of a manifest.
pub(crate) fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn parsed(file: &Path) -> anyhow::Result<(String, Manifest)> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("reading the manifest {}", file.display()))?;
    let manifest: Manifest = toml::from_str(&text)
        .map_err(|error| Usage(format!("{} is wrong: {error}", file.display())))?;
    if manifest.functions.is_empty() && manifest.files.is_empty() {
        let what = "names no function and no files: write [functions.NAME] or [files.DATASET]";
        return Err(Usage(format!("{} {what}", file.display())).into());
    }
    Ok((text, manifest))
}

/// Reads a manifest with the code that it names.
pub(crate) fn read(file: &Path, env: &Env) -> anyhow::Result<Wishes> {
    let (text, manifest) = parsed(file)?;
    let now_ms = u64::try_from(env.clock.wall_ns() / 1_000_000).unwrap_or(0);
    let source = Source { file, text: &text, now_ms };
    let functions = manifest.functions.into_iter();
    let functions = functions.map(|(name, declared)| source.wanted(&name, declared));
    let files = manifest.files.iter().map(|(name, served)| source.files(name, served));
    Ok(Wishes {
        functions: functions.collect::<anyhow::Result<_>>()?,
        files: files.collect::<anyhow::Result<_>>()?,
    })
}

impl Source<'_> {
    /// What is wrong at a place.
    fn wrong(&self, span: std::ops::Range<usize>, why: impl std::fmt::Display) -> anyhow::Error {
        let before = &self.text[..span.start.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Usage(format!("{}, line {line}, column {column}: {why}", self.file.display())).into()
    }

    fn wanted(&self, name: &Spanned<String>, declared: Declared) -> anyhow::Result<Wanted> {
        let function = named(name.get_ref()).map_err(|why| self.wrong(name.span(), why))?;
        let Declared { file, environment, outbound, limits, isolation, .. } = &declared;
        let settings = Settings {
            environment: environment.clone(),
            outbound: outbound.clone(),
            limits: limits.clone(),
            isolation: *isolation,
        };
        settings.check().map_err(|why| self.wrong(name.span(), why))?;
        let path = folder(self.file).join(file.get_ref());
        let code = std::fs::read(&path)
            .map_err(|why| self.wrong(file.span(), format!("{}: {why}", path.display())))?;
        let (_, digest) =
            cairn_functions::component(&code).map_err(|why| self.wrong(file.span(), why))?;
        let routes = self.routes(&declared.routes)?;
        let schedules = self.schedules(&declared.schedules)?;
        let triggers = self.triggers(&function, &declared.triggers)?;
        let filters = declared.filters;
        for filter in filters.keys() {
            filter.parse::<DatasetName>().map_err(|why| self.wrong(name.span(), why))?;
        }
        let own = |on: String| {
            if on.starts_with('@') { on } else { format!("@{}/{on}", function.project) }
        };
        let grant = |Grant { role, on }: Grant| {
            let (role, pattern) = (
                role.get_ref().parse::<Role>().map_err(|why| self.wrong(role.span(), why))?,
                own(on.get_ref().clone())
                    .parse::<Pattern>()
                    .map_err(|why| self.wrong(on.span(), why))?,
            );
            Ok((role.to_string(), pattern.to_string()))
        };
        let grants =
            declared.grants.map(|all| all.into_iter().map(grant).collect::<anyhow::Result<_>>());
        let grants = grants.transpose()?;
        Ok(Wanted {
            code: code.into(),
            digest,
            settings,
            routes,
            filters,
            schedules,
            triggers,
            grants,
            function,
        })
    }

    fn routes(&self, declared: &[Route]) -> anyhow::Result<BTreeMap<String, Auth>> {
        let (mut routes, mut shapes) = (BTreeMap::new(), BTreeSet::new());
        for Route { pattern, public } in declared {
            let parsed: cairn_functions::Pattern =
                pattern.get_ref().parse().map_err(|why| self.wrong(pattern.span(), why))?;
            let auth = if *public { Auth::None } else { Auth::Cairn };
            if !shapes.insert(parsed.shape()) {
                return Err(self.wrong(pattern.span(), "a route for the same requests is there"));
            }
            routes.insert(parsed.to_string(), auth);
        }
        Ok(routes)
    }

    fn schedules(
        &self,
        declared: &[Spanned<AddSchedule>],
    ) -> anyhow::Result<BTreeMap<String, AddSchedule>> {
        let mut schedules = BTreeMap::new();
        for schedule in declared {
            let asked = schedule.get_ref();
            Plan::from(asked.clone())
                .check(self.now_ms)
                .map_err(|why| self.wrong(schedule.span(), why))?;
            self.named(&mut schedules, "schedules", (asked.name.as_ref(), schedule))?;
        }
        Ok(schedules)
    }

    fn triggers(
        &self,
        function: &Function,
        declared: &[Spanned<AddTrigger>],
    ) -> anyhow::Result<BTreeMap<String, AddTrigger>> {
        let mut triggers = BTreeMap::new();
        for trigger in declared {
            let asked = trigger.get_ref();
            TriggerSpec::from(asked.clone())
                .check(function)
                .map_err(|why| self.wrong(trigger.span(), why))?;
            self.named(&mut triggers, "triggers", (asked.name.as_ref(), trigger))?;
        }
        Ok(triggers)
    }

    /// Puts one of several under its name, which no other has.
    fn named<T: Clone>(
        &self,
        all: &mut BTreeMap<String, T>,
        what: &str,
        (name, one): (Option<&String>, &Spanned<T>),
    ) -> anyhow::Result<()> {
        let name = name.cloned().unwrap_or_else(|| "default".to_owned());
        name.parse::<DatasetName>().map_err(|why| self.wrong(one.span(), why))?;
        if all.insert(name.clone(), one.get_ref().clone()).is_some() {
            let why = format!("two {what} are called {name}: give them a name each");
            return Err(self.wrong(one.span(), why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cairn.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::write(dir.path().join("f.wat"), "(component)").unwrap();
        std::fs::write(dir.path().join("f.txt"), "no code").unwrap();
        match read(&file, &Env::real()) {
            Ok(wishes) => {
                format!("{} functions, {} files", wishes.functions.len(), wishes.files.len())
            }
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_column() {
        for (text, why) in [
            ("", "names no function"),
            ("[functions.f]\nfile = \"f.wat\"", "1 functions"),
            ("[node]\nlisten = []\n[functions.f]\nfile = \"f.wat\"", "1 functions"),
            ("[function.f]\nfile = \"f.wat\"", "unknown field `function`"),
            ("[functions.f]\nfile = \"f.wat\"\nrotes = []", "line 3, column 1"),
            ("[functions.f]\n", "missing field `file`"),
            ("[functions.f]\nfile = \"g.wat\"", "line 2, column 8"),
            ("[functions.f]\nfile = \"f.txt\"", "line 2, column 8"),
            ("[functions.\"no name\"]\nfile = \"f.wat\"", "line 1, column 12"),
            ("[functions.f]\nfile = \"f.wat\"\nisolation = \"process\"", "1 functions"),
            ("[functions.f]\nfile = \"f.wat\"\nisolation = \"vm\"", "line 3, column 13"),
            ("[functions.f]\nfile = \"f.wat\"\nlimits = { cpu_ms = 0 }", "limits.cpu_ms"),
            ("[functions.f]\nfile = \"f.wat\"\noutbound = [\"x\"]", "no origin"),
            (
                "[functions.f]\nfile = \"f.wat\"\nroutes = [{ pattern = \"/a/{\" }]",
                "line 3, column 23",
            ),
            (
                "[functions.f]\nfile = \"f.wat\"\nroutes = [{ pattern = \"/a\" }, { pattern = \"/a\" }]",
                "for the same requests",
            ),
            (
                "[functions.f]\nfile = \"f.wat\"\n[[functions.f.schedules]]\nschedule = \"0 0 31 2 *\"",
                "never comes",
            ),
            (
                "[functions.f]\nfile = \"f.wat\"\n[[functions.f.schedules]]\nschedule = \"@daily\"\n[[functions.f.schedules]]\nschedule = \"@hourly\"",
                "two schedules are called default",
            ),
            (
                "[functions.f]\nfile = \"f.wat\"\ntriggers = [{ namespace = \"cairn.functions\" }]",
                "line 3, column 13: \"cairn.functions\" is no namespace",
            ),
            (
                "[functions.f]\nfile = \"f.wat\"\ntriggers = [{ namespace = \"a\" }, { namespace = \"b\" }]",
                "two triggers are called default",
            ),
            ("[files.d]\nroutes = [{ pattern = \"/{*path}\" }]", "0 functions, 1 files"),
            (
                "[files.d]\nroutes = [{ pattern = \"POST /\" }]",
                "line 2, column 23: files answer GET",
            ),
            (
                "[files.d]\nroutes = [{ pattern = \"/\", path = \"../x\" }]",
                "line 2, column 23: \"../x\" is no path",
            ),
            ("[files.d]\nroute = []", "line 2, column 1"),
            (
                "[functions.f]\nfile = \"f.wat\"\ngrants = [{ role = \"king\", on = \"x\" }]",
                "line 3, column 20",
            ),
            (
                "[functions.f]\nfile = \"f.wat\"\ngrants = [{ role = \"writer\" }]",
                "missing field `on`",
            ),
        ] {
            let told = refused(text);
            assert!(told.contains(why), "{text}\n{told}");
        }
    }
}
