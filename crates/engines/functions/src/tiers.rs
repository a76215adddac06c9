//! Where a release runs, as its settings say: a call is the same in each tier, and none is run in a weaker one (WORKER-3).
//! A tier is a variant of [`Http`] and of [`Program`], and a line of [`Tiers::callable`].

use cairn_wasm::{Body, Call, Code, Command, Done, Failure, HttpFunction, Kind, Runtime, World};
use cairn_worker::Workers;

use crate::model::{Function, Isolation, Settings};

/// What a node runs functions with.
#[derive(Clone)]
pub struct Tiers {
    /// Compiles all of them, and runs those of the tier `in_process`.
    pub runtime: Runtime,
    /// Run those of the tier `process`.
    pub workers: Workers,
}

/// How a release is called.
pub(crate) enum Callable {
    Http(Http),
    Program(Program),
}

/// What answers requests.
pub(crate) enum Http {
    InProcess(HttpFunction),
    Process(cairn_worker::Function),
}

/// What is run to its end.
pub(crate) enum Program {
    InProcess(Box<Command>),
    Process(cairn_worker::Function),
}

impl Tiers {
    /// Whether this node has a tier.
    pub(crate) async fn check(&self, isolation: Isolation) -> Result<(), Failure> {
        match isolation {
            Isolation::InProcess => Ok(()),
            Isolation::Process => self.workers.check().await,
        }
    }

    /// A release, ready to be called.
    pub(crate) async fn callable(
        &self,
        of: &Function,
        code: &Code,
        settings: &Settings,
        world: World,
    ) -> Result<Callable, Failure> {
        self.check(settings.isolation).await?;
        let limits = settings.limits.clone();
        let (kind, project) = (code.kind(), of.project.as_str());
        Ok(match (settings.isolation, kind) {
            (Isolation::InProcess, Kind::Http) => {
                Callable::Http(Http::InProcess(HttpFunction::new(code, limits, world)?))
            }
            (Isolation::InProcess, Kind::Command) => {
                let command = Command::new(code, limits, world)?;
                Callable::Program(Program::InProcess(Box::new(command)))
            }
            (Isolation::Process, kind) => {
                let function = self.workers.function(project, code, limits, world);
                match kind {
                    Kind::Http => Callable::Http(Http::Process(function)),
                    Kind::Command => Callable::Program(Program::Process(function)),
                }
            }
        })
    }
}

impl Http {
    pub(crate) async fn handle(
        &self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Failure> {
        match self {
            Self::InProcess(function) => function.handle(request).await,
            Self::Process(function) => function.handle(request).await,
        }
    }
}

impl Program {
    pub(crate) async fn run(&self, call: Call) -> Result<Done, Failure> {
        match self {
            Self::InProcess(command) => command.run(call).await,
            Self::Process(function) => function.run(call).await,
        }
    }
}
