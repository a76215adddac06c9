//! `cairn pg`: PostgreSQL's log.

mod inspect;
mod start;
mod verify;
mod wal;

use std::process::ExitCode;

use crate::cli::Pg;
use crate::context::Context;

pub(crate) async fn pg(context: &Context, args: Pg) -> anyhow::Result<ExitCode> {
    match args {
        Pg::Verify(args) => verify::verify(context, args).await,
        Pg::Inspect(args) => inspect::inspect(context, args).await,
        Pg::Start(args) => start::start(context, args).await,
    }
}
