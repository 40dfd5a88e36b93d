//! Manifests of files.

use evidence::{Digest, Json};
use ledger::{
    Outcome,
    manifest::{LEDGER_PATHS, ManifestFile, check_files, files_below, manifest},
};
use std::fs;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("weights")).unwrap();
    fs::create_dir_all(folder.path().join("log")).unwrap();
    fs::write(folder.path().join("weights/model.gguf"), "weights").unwrap();
    fs::write(folder.path().join("index.html"), "page").unwrap();
    fs::write(folder.path().join("log/checkpoint"), "head").unwrap();
    fs::write(folder.path().join(".lock"), "").unwrap();
    folder
}

#[test]
fn a_manifest_lists_sorted_digests_and_reads_back() {
    let folder = folder();
    let files = manifest(folder.path(), ["weights/model.gguf", "index.html", "index.html"]).unwrap();
    let expected = [
        ManifestFile { path: "index.html".into(), digest: Digest::of(b"page"), bytes: 4 },
        ManifestFile { path: "weights/model.gguf".into(), digest: Digest::of(b"weights"), bytes: 7 },
    ];
    assert_eq!(files, expected);
    let text = files[0].to_json().canonical();
    assert_eq!(ManifestFile::from_json(&Json::parse(&text).unwrap()).unwrap(), files[0]);
    assert_eq!(files_below(folder.path(), &LEDGER_PATHS).unwrap(), ["index.html", "weights/model.gguf"]);
    let check = check_files(folder.path(), &files, &LEDGER_PATHS);
    assert_eq!(check.reason, "2 files as the manifest lists them, and no other");
    assert!(check.ok());
}

#[test]
fn each_way_a_folder_can_differ_is_named() {
    let wrong = |change: &dyn Fn(&std::path::Path), reason: &str| {
        let folder = folder();
        let files = manifest(folder.path(), ["index.html", "weights/model.gguf"]).unwrap();
        change(folder.path());
        let check = check_files(folder.path(), &files, &LEDGER_PATHS);
        assert_eq!((check.name.as_str(), check.outcome, check.reason.as_str()), ("files", Outcome::Fails, reason));
    };
    wrong(&|folder| fs::remove_file(folder.join("weights/model.gguf")).unwrap(), "`weights/model.gguf` is missing");
    wrong(
        &|folder| fs::write(folder.join("index.html"), "pagf").unwrap(),
        &format!(
            "`index.html` changed: expected sha256:{}, found sha256:{}",
            Digest::of(b"page"),
            Digest::of(b"pagf")
        ),
    );
    wrong(
        &|folder| fs::write(folder.join("index.html"), "longer").unwrap(),
        "`index.html` changed: expected 4 bytes, found 6",
    );
    wrong(&|folder| fs::write(folder.join("weights/extra"), "").unwrap(), "`weights/extra` is not in the manifest");
    #[cfg(unix)]
    wrong(
        &|folder| {
            fs::rename(folder.join("index.html"), folder.join("log/page")).unwrap();
            std::os::unix::fs::symlink("log/page", folder.join("index.html")).unwrap();
        },
        "`index.html` is not a regular file",
    );
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    let folder = folder();
    for path in ["../x", "/etc/hosts", "", "a//b", "./index.html", "a\\b", "weights/"] {
        let json = Json::map([
            ("path", Some(path.into())),
            ("digest", Some(Digest::of(b"").into())),
            ("bytes", Some(0_u64.into())),
        ]);
        let reason = ManifestFile::from_json(&json).unwrap_err().to_string();
        assert_eq!(reason, "the member `path` is absent or malformed", "{path}");
        let listed = ManifestFile { path: path.into(), digest: Digest::of(b""), bytes: 0 };
        let check = check_files(folder.path(), &[listed], &["weights/", "index.html", "log/", ".lock"]);
        assert_eq!(check.reason, format!("`{path}` of the manifest leads out of the folder"));
    }
    let error = manifest(folder.path(), ["weights"]).unwrap_err();
    assert_eq!(error.to_string(), "expected a path below the folder, found `weights`");
    let error = manifest(folder.path(), ["absent"]).unwrap_err();
    assert_eq!(error.to_string(), "could not read `absent`");
}
