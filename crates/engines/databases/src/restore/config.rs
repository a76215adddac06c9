//! Settings of a server that was made from another: it archives nothing, and follows only what it was
//! told to.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use cairn_pgwal::effects::Parameters;

use super::Role;
use crate::error::Error;

const WAL_LEVELS: [&str; 3] = ["minimal", "replica", "logical"];

pub(super) fn write(out: &Path, role: &Role, parameters: &Parameters) -> Result<(), Error> {
    // A distribution may keep these elsewhere. Whoever can reach a socket in the directory, which is
    // where the server is started to listen, can read the files too.
    let defaults = [
        ("postgresql.conf", "listen_addresses = ''\n"),
        ("pg_hba.conf", "local all all trust\n"),
        ("pg_ident.conf", ""),
    ];
    for (name, text) in defaults {
        let path = out.join(name);
        if !path.exists() {
            put(&path, text, false)?;
        }
    }
    let primary = match role {
        Role::Standby(primary) => {
            put(&out.join("standby.signal"), "", false)?;
            primary.as_deref().unwrap_or_default()
        }
        Role::Primary => "",
    };
    let own = format!(
        "\n# This copy archives nothing where its original does, and is as large as that was.\n\
         archive_mode = 'off'\nrestore_command = ''\nrecovery_target_timeline = 'latest'\n\
         primary_slot_name = ''\nprimary_conninfo = '{}'\n{}",
        primary.replace('\'', "''"),
        of_parameters(parameters)
    );
    put(&out.join("postgresql.auto.conf"), &own, true)
}

/// What a standby depends on, as it was.
fn of_parameters(parameters: &Parameters) -> String {
    let level = WAL_LEVELS.get(parameters.wal_level as usize).copied().unwrap_or("replica");
    let timestamps = if parameters.track_commit_timestamp { "on" } else { "off" };
    format!(
        "max_connections = {}\nmax_worker_processes = {}\nmax_wal_senders = {}\n\
         max_prepared_transactions = {}\nmax_locks_per_transaction = {}\nwal_level = {level}\n\
         track_commit_timestamp = {timestamps}\n",
        parameters.max_connections,
        parameters.max_worker_processes,
        parameters.max_wal_senders,
        parameters.max_prepared_transactions,
        parameters.max_locks_per_transaction,
    )
}

fn put(path: &Path, text: &str, append: bool) -> Result<(), Error> {
    let file = if append {
        OpenOptions::new().create(true).append(true).open(path)
    } else {
        File::create(path)
    };
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| Error::Write { path: path.to_path_buf(), source })
}
