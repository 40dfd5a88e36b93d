//! Files that are whole or absent after a crash, at any moment of it.
//!
//! Every file is written beside its place under a leftover's name, synced, renamed, and its folder synced.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    #[error("no room left on the device while writing `{}`; free some space and run again: what was recorded before is intact", path.display())]
    NoRoom { path: PathBuf },
    #[error("`{}` exists and is not written over", path.display())]
    Exists { path: PathBuf },
    #[error("could not {action} `{}`", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

/// Writes `bytes` to `path` in one step as seen by any reader and after any crash. One writer at a time for one path.
///
/// # Errors
/// `NoRoom` or `Io` naming the file; `path` is then as it was, and nothing is left beside it.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    write_atomic_with(path, |out| out.write_all(bytes))
}

/// Like [`write_atomic`], for content that is written piece by piece.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_atomic_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), DurableError> {
    let leftover = leftover_of(path);
    let written = fill_new(&leftover, path, OpenOptions::new(), write).and_then(|()| {
        step(Step::Rename).and_then(|()| fs::rename(&leftover, path)).map_err(|e| failed("rename to", path, e))
    });
    if written.is_err() {
        discard(&leftover);
    }
    written?;
    sync_folder_of(path)
}

/// Writes a new file that only its owner may read; a file that is there is never written over.
///
/// # Errors
/// `Exists`, or as [`write_atomic`].
pub fn write_new_private(path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    let leftover = leftover_of(path);
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = fill_new(&leftover, path, options, |out| out.write_all(bytes)).and_then(|()| {
        // A link, unlike a rename, fails when the name is taken.
        step(Step::Rename).and_then(|()| fs::hard_link(&leftover, path)).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => DurableError::Exists { path: path.to_owned() },
            _ => failed("create", path, source),
        })
    });
    discard(&leftover);
    written?;
    sync_folder_of(path)
}

/// Creates a folder and those above it, durably.
///
/// # Errors
/// `NoRoom` or `Io` naming the folder.
pub fn create_folder(path: &Path) -> Result<(), DurableError> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        create_folder(above)?;
    }
    step(Step::Create).and_then(|()| fs::create_dir(path)).map_err(|e| failed("create", path, e))?;
    sync_folder_of(path)
}

/// Removes a file; one that is not there is no error.
///
/// # Errors
/// `Io` naming the file.
pub fn remove_file(path: &Path) -> Result<(), DurableError> {
    match step(Step::Remove).and_then(|()| fs::remove_file(path)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, source)),
        _ => Ok(()),
    }
}

/// Whether a file name is one that an interrupted write leaves behind.
#[must_use]
pub fn is_leftover(file_name: &str) -> bool {
    file_name.len() > 5 && file_name.starts_with('.') && file_name.ends_with(".tmp")
}

/// `.NAME.tmp` beside `NAME`.
fn leftover_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tmp"))
}

fn fill_new(
    leftover: &Path,
    path: &Path,
    mut options: OpenOptions,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), DurableError> {
    remove_file(leftover)?;
    let opened = step(Step::Create).and_then(|()| options.write(true).create_new(true).open(leftover));
    fill(opened.map_err(|e| failed("create", path, e))?, path, write)
}

fn fill(
    file: File,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), DurableError> {
    let mut out = io::BufWriter::with_capacity(1 << 16, file);
    step(Step::Write).and_then(|()| write(&mut out)).and_then(|()| out.flush()).map_err(|e| failed("write", path, e))?;
    step(Step::Sync).and_then(|()| out.get_ref().sync_all()).map_err(|e| failed("sync", path, e))
}

fn sync_folder_of(path: &Path) -> Result<(), DurableError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Elsewhere a folder cannot be opened as a file, and a rename is journalled by the file system.
    if cfg!(unix) {
        let synced = step(Step::Sync).and_then(|()| File::open(folder)?.sync_all());
        synced.map_err(|e| failed("sync the folder of", path, e))?;
    }
    Ok(())
}

/// What is left of a write that failed; a failure to remove it is told by whoever opens the folder next.
fn discard(leftover: &Path) {
    let _ = remove_file(leftover);
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> DurableError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DurableError::NoRoom { path: path.to_owned() },
        _ => DurableError::Io { action, path: path.to_owned(), source },
    }
}

/// The moments at which a crash can leave different folders behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    Write,
    Sync,
    Rename,
    Remove,
}

#[cfg(not(test))]
#[inline]
const fn step(_: Step) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
use fault::step;

/// Faults put in by tests, a thread each.
#[cfg(test)]
pub(crate) mod fault {
    use super::Step;
    use std::{cell::Cell, io};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// From that step on nothing happens any more.
        Crash,
        /// From that step on nothing can be created or written; removing works.
        NoRoom,
    }

    thread_local! {
        static PLAN: Cell<Option<(Fault, u32)>> = const { Cell::new(None) };
    }

    /// Lets `n_steps` steps happen, then the fault.
    pub(crate) fn after(fault: Fault, n_steps: u32) {
        PLAN.set(Some((fault, n_steps)));
    }

    pub(crate) fn clear() {
        PLAN.set(None);
    }

    pub(crate) fn step(step: Step) -> io::Result<()> {
        match PLAN.get() {
            Some((Fault::Crash, 0)) => Err(io::Error::other("crash")),
            Some((Fault::NoRoom, 0)) if matches!(step, Step::Create | Step::Write | Step::Sync) => {
                Err(io::ErrorKind::StorageFull.into())
            }
            Some((fault, left)) => {
                PLAN.set(Some((fault, left.saturating_sub(1))));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `/dev/full` is the kernel's file that always answers "no space left on device".
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_device_is_named_with_the_remedy() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = fill(full, Path::new("dossier/log/checkpoint"), |out| out.write_all(b"x")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no room left on the device while writing `dossier/log/checkpoint`; free some space and run again: \
             what was recorded before is intact"
        );
    }

    #[test]
    fn a_failed_write_leaves_the_old_content_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        write_atomic(&path, b"old").unwrap();
        let error = write_atomic_with(&path, |out| {
            out.write_all(b"half of the ne")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(error, Err(DurableError::NoRoom { path: named }) if named == path));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_leftover_is_written_over_and_known_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        fs::write(folder.path().join(".checkpoint.tmp"), "torn").unwrap();
        assert!(is_leftover(".checkpoint.tmp") && !is_leftover(".tmp") && !is_leftover("checkpoint"));
        write_atomic(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_private_file_is_closed_to_others_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_new_private(&path, b"first").unwrap();
        let error = write_new_private(&path, b"second").unwrap_err();
        assert_eq!(error.to_string(), format!("`{}` exists and is not written over", path.display()));
        assert_eq!(fs::read(&path).unwrap(), b"first");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
