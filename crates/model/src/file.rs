//! Files that are whole or not there.

use evidence::Digest;
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
#[error("cannot write `{}` ({doing}); the file that stood there before, if any, is untouched", path.display())]
pub struct WriteError {
    pub path: PathBuf,
    /// Which step failed.
    pub doing: &'static str,
    #[source]
    pub source: io::Error,
}

/// Writes `bytes` so that at any instant `path` holds either what it held before or all of them, on the disk.
///
/// A file beside it is written, flushed to the disk, read back and compared by digest, and renamed over `path`; then the
/// folder is flushed. The file beside it is removed when a step fails.
///
/// # Errors
/// `WriteError` naming the path and the step; a read-back that differs is an `InvalidData` error with both digests.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<Digest, WriteError> {
    let error = |doing| move |source| WriteError { path: path.to_owned(), doing, source };
    let name = path.file_name().ok_or_else(|| io::Error::other("the path has no file name"));
    let name = name.map_err(error("naming the file beside it"))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".part");
    let beside = folder.join(beside);
    let written = write_and_check(&beside, bytes).map_err(|(doing, source)| error(doing)(source)).and_then(|digest| {
        fs::rename(&beside, path).map_err(error("renaming the finished file"))?;
        Ok(digest)
    });
    if written.is_err() {
        // The first error is the one to tell; a file that cannot be removed is overwritten by the next attempt.
        let _ = fs::remove_file(&beside);
    }
    let digest = written?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(error("flushing the folder to the disk"))?;
    Ok(digest)
}

fn write_and_check(path: &Path, bytes: &[u8]) -> Result<Digest, (&'static str, io::Error)> {
    let step = |doing: &'static str| move |source: io::Error| (doing, source);
    let mut file = File::create(path).map_err(step("creating the file beside it"))?;
    file.write_all(bytes).map_err(step("writing"))?;
    file.sync_all().map_err(step("flushing to the disk"))?;
    let expected = Digest::of(bytes);
    let found = File::open(path).and_then(Digest::of_reader).map_err(step("reading back"))?;
    if found != expected {
        let cause = format!("expected sha256:{expected} on reading back, found sha256:{found}");
        return Err(("reading back", io::Error::new(io::ErrorKind::InvalidData, cause)));
    }
    Ok(expected)
}
