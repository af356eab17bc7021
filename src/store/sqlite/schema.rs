//! Opens connections the way this store needs them, and brings the file to the newest schema.
//!
//! Migrations only add: during an upgrade the former process goes on reading and writing the file that its successor
//! has migrated.

use super::{Result, engine};
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Another process may hold the write lock (the other one of an upgrade, a migration, a backup tool).
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Ten seconds in all, as [`BUSY_TIMEOUT`].
const TURN_ATTEMPTS: u32 = 500;
const TURN_PAUSE: Duration = Duration::from_millis(20);
const CACHED_STATEMENTS: usize = 64;

#[allow(unreachable_pub, reason = "written by the macro")]
mod embedded {
    refinery::embed_migrations!("migrations/sqlite");
}

/// The connection that writes, on a migrated file.
pub(super) fn open_writer(path: &Path) -> Result<Connection> {
    // One process at a time: a new file changes its mode here, and each step is taken by who found it missing.
    let _turn = path.parent().and_then(turn);
    let mut connection = open(path)?;
    // WAL with NORMAL: a killed process loses nothing; a power cut may lose the last commits, never consistency.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -16384;",
    )?;
    embedded::migrations::runner().run(&mut connection).map_err(engine)?;
    Ok(connection)
}

/// The lock of the folder, which leaves no file behind and ends with its process. Without it, where folders cannot be
/// locked or somebody holds it for too long, SQLite's own lock still lets no step be half done or done twice.
fn turn(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    for _ in 0..TURN_ATTEMPTS {
        match folder.try_lock() {
            Ok(()) => return Some(folder),
            Err(TryLockError::WouldBlock) => std::thread::sleep(TURN_PAUSE),
            Err(TryLockError::Error(_)) => break,
        }
    }
    None
}

/// A connection that cannot write. `cache_kib` is the most it keeps of the file in memory; taken when needed.
pub(super) fn open_reader(path: &Path, cache_kib: u32) -> Result<Connection> {
    let connection = open(path)?;
    connection.execute_batch(&format!("PRAGMA query_only = ON; PRAGMA cache_size = -{cache_kib};"))?;
    Ok(connection)
}

fn open(path: &Path) -> Result<Connection> {
    // No mutex: a lane lends a connection to one thread.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;")?;
    Ok(connection)
}

/// Makes folder and file before SQLite would, so that nobody else may read them; `-wal` and `-shm` inherit the mode.
/// Returns the absolute path: it is always a file, never a name that SQLite treats in another way (`:memory:`, `file:`).
pub(super) fn make_private(path: &Path) -> io::Result<PathBuf> {
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => path.canonicalize(),
    }
}

/// The newest migration that was applied.
pub(super) fn version(connection: &Connection) -> Result<i64> {
    Ok(connection.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))?)
}
