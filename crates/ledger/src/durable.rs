//! Writing so that a crash leaves either the old file or the new one, never half of either.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// Ending of files that are not yet in place; whoever opens a folder may remove them.
pub const UNFINISHED: &str = "unfinished";

#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    #[error("no room left on the device while writing {}; free some space and run again: what was recorded before is intact", .path.display())]
    Full { path: PathBuf, source: io::Error },
    #[error("{} cannot be {doing}", .path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> DurableError {
    let path = path.to_path_buf();
    move |source| match source.kind() {
        // A quota or a file-size limit leaves as little room as a full device.
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            DurableError::Full { path, source }
        }
        _ => DurableError::Io { path, doing, source },
    }
}

/// Writes `bytes` to `path`: temporary file beside it, fsync, rename, fsync of the folder. Makes the folder when absent.
///
/// # Errors
/// `DurableError` naming the file; the old content, if any, stands then, and nothing half-written stays.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed(folder, "made"))?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(UNFINISHED);
    let unfinished = folder.join(name);
    let written = File::create(&unfinished).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(source) = written {
        let _ = fs::remove_file(&unfinished);
        return Err(failed(path, "written")(source));
    }
    fs::rename(&unfinished, path).map_err(failed(path, "put in place"))?;
    sync_folder(folder)
}

/// Makes renames and removals in a folder durable.
///
/// # Errors
/// `DurableError` naming the folder.
pub fn sync_folder(folder: &Path) -> Result<(), DurableError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(failed(folder, "synchronised"))
}

/// Reads a file whole.
///
/// # Errors
/// `DurableError` naming the file.
pub fn read(path: &Path) -> Result<Vec<u8>, DurableError> {
    fs::read(path).map_err(failed(path, "read"))
}

/// Every file below `folder`, as paths relative to it with `/`, sorted. A link is named, not followed.
///
/// # Errors
/// `DurableError` naming the folder that cannot be listed.
pub fn files_below(folder: &Path) -> Result<Vec<String>, DurableError> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let here = folder.join(&relative);
        for entry in fs::read_dir(&here).map_err(failed(&here, "listed"))? {
            let entry = entry.map_err(failed(&here, "listed"))?;
            let path = relative.join(entry.file_name());
            let kind = entry.file_type().map_err(failed(&here, "listed"))?;
            if kind.is_dir() {
                pending.push(path);
            } else {
                found.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_device_is_named_with_the_way_out() {
        let error =
            File::options().write(true).open("/dev/full").and_then(|mut file| file.write_all(b"x")).unwrap_err();
        assert_eq!(
            failed(Path::new("log/checkpoint"), "written")(error).to_string(),
            "no room left on the device while writing log/checkpoint; free some space and run again: what was recorded before is intact"
        );
    }

    #[test]
    fn nothing_half_written_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(files_below(folder.path()).unwrap(), ["a/b"]);
        assert_eq!(read(&path).unwrap(), b"two");
    }
}
