//! `cairn pg start`.

use std::process::ExitCode;

use cairn_databases::{CERTIFIED, MAJOR, RestoreOptions, Restored, Role, Running, Server, Target};
use cairn_pgwal::Lsn;
use serde_json::json;

use super::wal::with_archive;
use crate::cli::PgStart;
use crate::context::Context;
use crate::exit::Usage;
use crate::output;

const PAGES_PER_MIB: usize = 128;
/// 2000-01-01, when PostgreSQL's time begins, in microseconds since 1970.
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

pub(super) async fn start(context: &Context, args: PgStart) -> anyhow::Result<ExitCode> {
    let target = args.at.as_deref().map_or(Ok(Target::End), moment)?;
    let server = if args.no_start { None } else { Some(certified(&args)?) };
    let role = if args.standby { Role::Standby(args.primary.clone()) } else { Role::Primary };
    let options = RestoreOptions {
        base: args.base.clone(),
        out: args.out.clone(),
        target,
        role,
        pages: args.memory as usize * PAGES_PER_MIB,
    };
    let begun = context.env.clock.monotonic();
    let shown = !context.global.quiet && std::io::IsTerminal::is_terminal(&std::io::stderr());
    let restored = with_archive(context, &args.wal, move |archive| {
        let progress = |at: Lsn| {
            if shown {
                eprint!("\rreplayed to {at}  ");
            }
        };
        let restored = cairn_databases::restore(&archive, &options, &progress)?;
        if shown {
            eprintln!();
        }
        Ok(restored)
    });
    let restored = restored.await?;
    let took = context.env.clock.monotonic().saturating_sub(begun);
    let running = match &server {
        Some(server) => Some(server.start(&args.out, args.port, context.env.clock.as_ref()).await?),
        None => None,
    };
    if context.global.json {
        let started = running.as_ref().map(|running| {
            json!({
                "pid": running.pid,
                "socket": running.socket,
                "port": running.port,
                "seconds": running.took.as_secs_f64(),
                "log": running.log,
                "version": server.as_ref().map(|server| &server.version),
            })
        });
        output::json(&json!({
            "directory": args.out,
            "restored": restored,
            "seconds": took.as_secs_f64(),
            "server": started,
        }))?;
    } else {
        show(&args, &restored, took.as_secs_f64(), running.as_ref())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(
    args: &PgStart,
    restored: &Restored,
    seconds: f64,
    running: Option<&Running>,
) -> anyhow::Result<()> {
    let Restored { at, timeline, records, .. } = restored;
    let out = args.out.display();
    output::line(&format!(
        "{out}: at {at} on timeline {timeline}; {records} records in {seconds:.2} s"
    ))?;
    if let Some(running) = running {
        let (socket, port) = (running.socket.display(), running.port);
        let took = running.took.as_secs_f64();
        output::line(&format!("PostgreSQL was ready after {took:.2} s (process {})", running.pid))?;
        output::line(&format!("  psql -h {socket} -p {port} postgres"))?;
        output::line(&format!("  pg_ctl -D {socket} stop"))?;
    }
    Ok(())
}

/// The server, of a minor release that is known, or that the user takes upon themselves.
fn certified(args: &PgStart) -> anyhow::Result<Server> {
    let server = Server::find(args.bin.as_deref())?;
    if !server.is_certified() && !args.uncertified {
        let known: Vec<_> = CERTIFIED.iter().map(|minor| format!("{MAJOR}.{minor}")).collect();
        let (version, known) = (&server.version, known.join(", "));
        return Err(Usage(format!(
            "PostgreSQL {version} was not compared with our redo, only {known} was; \
             --uncertified takes it all the same"
        ))
        .into());
    }
    Ok(server)
}

/// An LSN, or a time.
fn moment(text: &str) -> anyhow::Result<Target> {
    if let Ok(lsn) = text.parse::<Lsn>() {
        return Ok(Target::Lsn(lsn));
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        Usage(format!(
            "{text:?} is neither an LSN (16/B374D848) nor a time with its zone (2026-11-21 14:05:00Z)"
        ))
    })?;
    Ok(Target::Time(time.as_microsecond() - EPOCH_MICROSECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        assert_eq!(moment("16/B374D848").unwrap(), Target::Lsn(Lsn(0x16_b374_d848)));
        assert_eq!(moment("2000-01-01 00:00:01Z").unwrap(), Target::Time(1_000_000));
        assert_eq!(moment("2000-01-01T01:00:00+01:00").unwrap(), Target::Time(0));
        for bad in ["", "now", "16", "2026-11-21"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }
}
