use crate::{config, source, write};
use dataset::{Duplicate, FILE_BYTES_MAX, Source, Unit, audit, read};
use evidence::{Digest, Measurement, Subject};
use std::path::Path;

fn speech_writer() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/speech-writer")
}

/// Expected numbers: `cat inaugural/* udhr/* | wc -c` and `| wc -m` (GNU coreutils, UTF-8 locale), `ls | wc -l`.
#[test]
fn the_example_corpus_is_whole() {
    let declared = |name: &str| Source {
        licence: Some("public-domain".into()),
        source: Some("nltk_data 5db857e6".into()),
        ..source(name, format!("data/{name}"), Unit::File)
    };
    let corpus = read(&config(&speech_writer(), vec![declared("udhr"), declared("inaugural")])).unwrap();
    let findings = audit(&corpus);
    assert_eq!((findings.n_files, findings.n_documents, findings.bytes), (64, 64, 871_691));
    assert_eq!(findings.characters, CHARACTERS);
    assert_eq!(findings.exact_duplicates, []);
    assert_eq!((findings.without_licence.len(), findings.without_source.len()), (0, 0));
    assert_eq!(corpus.files[0].path, "data/inaugural/1789-Washington.txt");
    assert_eq!(corpus.documents[63].id, "data/udhr/spa.txt");
    let bush = corpus.files.iter().find(|file| file.path.ends_with("2005-Bush.txt")).unwrap();
    assert_eq!(bush.digest.to_string(), "62277bd6db8d1ca12fb3e9d05bca5949b7f36bd71bae405f890cd7895ddeecbd");
}

const CHARACTERS: u64 = 865_031;

/// Expected digest: `printf '[{"digest":{"sha256":"%s"},"path":"a.txt"},{"digest":{"sha256":"%s"},"path":"b/c.txt"}]'
/// $(printf 'A\n' | sha256sum | cut -c-64) $(printf 'C\n' | sha256sum | cut -c-64) | sha256sum`.
#[test]
fn the_corpus_digest_is_that_of_its_canonical_list() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.txt", "A\n");
    write(folder.path(), "b/c.txt", "C\n");
    let (a, b) = (source("a", "./a.txt", Unit::File), source("b", "b", Unit::File));
    let one = read(&config(folder.path(), vec![a.clone(), b.clone()])).unwrap();
    let mut two = read(&config(folder.path(), vec![b, a])).unwrap();
    assert_eq!(two.files.iter().map(|file| file.set).collect::<Vec<_>>(), [1, 0]);
    two.files.iter_mut().for_each(|file| file.set = 1 - file.set);
    assert_eq!(one, two, "but for the places of their sources");
    assert_eq!(one.digest().to_string(), CORPUS_DIGEST);
}

const CORPUS_DIGEST: &str = "ee0a1f8c8f08d0f49dfac56ed805f5a00fbe3746c44b8c5cfac0adf486244346";

#[test]
fn a_byte_order_mark_is_left_out_of_the_text_but_not_of_the_digest() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.txt", "\u{feff}A\u{feff}\r\n");
    let corpus = read(&config(folder.path(), vec![source("a", "a.txt", Unit::File)])).unwrap();
    assert_eq!(corpus.documents[0].text, "A\u{feff}\r\n");
    assert!(corpus.files[0].byte_order_mark);
    assert_eq!(corpus.files[0].digest, Digest::of("\u{feff}A\u{feff}\r\n".as_bytes()));
    assert_eq!(audit(&corpus).byte_order_marks, ["a.txt"]);
    assert_eq!(audit(&corpus).bytes, 9);
    assert_eq!(audit(&corpus).characters, 4);
}

#[test]
fn sections_are_what_stands_between_blank_lines() {
    for (text, sections) in [
        ("a\nb\n\nc\n", vec!["a\nb", "c"]),
        ("\n \t\n  a \n\r\nb\r\nc\r\n\n\n", vec!["  a ", "b\r\nc"]),
        ("a", vec!["a"]),
        ("a\n\u{3000}\nb", vec!["a", "b"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "t.txt", text);
        let corpus = read(&config(folder.path(), vec![source("t", "t.txt", Unit::BlankLineSection)])).unwrap();
        let found: Vec<&str> = corpus.documents.iter().map(|document| document.text.as_str()).collect();
        assert_eq!(found, sections);
        assert_eq!(corpus.documents.last().unwrap().id, format!("t.txt#{}", sections.len()));
    }
}

#[test]
fn folders_give_their_text_files_and_name_what_they_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["d/b.txt", "d/a.txt", "d/NOTICE.md", "d/deeper/c.txt", "d/.hidden"] {
        write(folder.path(), path, "text of ".to_owned() + path);
    }
    let corpus = read(&config(folder.path(), vec![source("d", "d/", Unit::File)])).unwrap();
    let paths: Vec<&str> = corpus.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["d/a.txt", "d/b.txt"]);
    assert_eq!(audit(&corpus).passed_over, ["d/.hidden", "d/NOTICE.md", "d/deeper"]);
}

#[test]
fn a_path_outside_the_case_is_shown_under_the_name_of_its_source() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "elsewhere/a.txt", "A");
    write(folder.path(), "case/b.txt", "B");
    let (up, absolute) =
        (source("up", "../elsewhere", Unit::File), source("abs", folder.path().join("elsewhere/a.txt"), Unit::File));
    let corpus = read(&config(&folder.path().join("case"), vec![up, absolute])).unwrap();
    let paths: Vec<&str> = corpus.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["abs/a.txt", "up/elsewhere/a.txt"]);
}

#[test]
fn bad_files_are_refused_with_place_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "bom.txt", "\u{feff}");
    write(root, "blank.txt", " \n\t\n");
    write(root, "empty.txt", "");
    write(root, "latin.txt", b"one\ntwo caf\xe9\n");
    write(root, "big5.txt", "é\n é—".bytes().chain(*b"\xa1X").collect::<Vec<u8>>());
    write(root, "marked.txt", b"\xef\xbb\xbfab\xff");
    write(root, "cut.txt", b"ab\xe2\x80");
    write(root, "utf16.txt", b"\xff\xfea\0");
    write(root, "folder/x.md", "no text files");
    write(root, "odd/x.txt/y", "a folder named like a file");
    assert!(std::process::Command::new("mkfifo").arg(root.join("pipe.txt")).status().unwrap().success());
    std::fs::File::create(root.join("large.txt")).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();

    let iconv = "convert the file, for example with `iconv -f ENCODING -t UTF-8`";
    let table: [(&str, String); 13] = [
        ("absent", "`absent`: expected the file or folder of the source `s`, found nothing; correct its `path`".into()),
        ("bom.txt", "`bom.txt`: expected text, found none in 3 bytes; fill the file or remove it".into()),
        ("blank.txt", "`blank.txt`: expected text, found none in 4 bytes; fill the file or remove it".into()),
        ("empty.txt", "`empty.txt`: expected text, found none in 0 bytes; fill the file or remove it".into()),
        ("latin.txt", format!("`latin.txt`:2:8: expected UTF-8, found the byte 0xE9 at offset 11; {iconv}")),
        ("big5.txt", format!("`big5.txt`:2:4: expected UTF-8, found the byte 0xA1 at offset 9; {iconv}")),
        ("marked.txt", format!("`marked.txt`:1:3: expected UTF-8, found the byte 0xFF at offset 5; {iconv}")),
        (
            "cut.txt",
            format!(
                "`cut.txt`:1:3: expected UTF-8, found the byte 0xE2 at offset 2, a character cut off by the end of the file; {iconv}"
            ),
        ),
        ("utf16.txt", format!("`utf16.txt`:1:1: expected UTF-8, found the byte 0xFF at offset 0; {iconv}")),
        (
            "folder",
            "`folder`: expected at least one `*.txt` file in this folder, found none; add one or take the source out"
                .into(),
        ),
        ("odd", "`odd/x.txt`: expected a regular file, found a folder; put the text into a file".into()),
        (
            "pipe.txt",
            "`pipe.txt`: expected a regular file, found a pipe, socket or device; put the text into a file".into(),
        ),
        ("large.txt", "`large.txt`: expected at most 268435456 bytes, found 268435457; divide the file".into()),
    ];
    for (path, message) in table {
        let error = read(&config(root, vec![source("s", path, Unit::File)])).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn bad_lists_of_sources_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "d/a.txt", "A");
    assert_eq!(
        read(&config(folder.path(), vec![])).unwrap_err().to_string(),
        "expected at least one source of data, found none; add a `[[data]]` entry"
    );
    let twice = vec![source("all", "d", Unit::File), source("one", "d/a.txt", Unit::File)];
    assert_eq!(
        read(&config(folder.path(), twice)).unwrap_err().to_string(),
        "`d/a.txt`: expected each file once, found it in the sources `all` and `one`; take it out of one"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_name_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.txt")), "text").unwrap();
    assert_eq!(
        read(&config(folder.path(), vec![source("s", ".", Unit::File)])).unwrap_err().to_string(),
        "`caf\u{fffd}.txt`: expected a file name in UTF-8 (`\u{fffd}` stands for what is not); rename the file"
    );
}

/// Counted by hand: three files, of which `b` has a licence, `c` a blank one; `c` equals `a`.
#[test]
fn findings_become_measurements_with_exact_bounds() {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [("a.txt", "same"), ("b.txt", "other"), ("c.txt", "same")] {
        write(folder.path(), path, text);
    }
    let with = |name: &str, licence: Option<&str>, origin: Option<&str>| Source {
        licence: licence.map(Into::into),
        source: origin.map(Into::into),
        ..source(name, format!("{name}.txt"), Unit::File)
    };
    let sources = vec![with("a", None, Some("x")), with("b", Some("CC0-1.0"), Some("y")), with("c", Some(" "), None)];
    let corpus = read(&config(folder.path(), sources)).unwrap();
    let findings = audit(&corpus);
    assert_eq!(findings.exact_duplicates, [Duplicate { original: "a.txt".into(), copy: "c.txt".into() }]);
    assert_eq!(findings.without_licence, ["a.txt", "c.txt"]);
    assert_eq!(findings.without_source, ["c.txt"]);

    let subject = Subject::new("corpus", corpus.digest());
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    let measurements = findings.measurements(&subject, "test 1", at).unwrap();
    let shown: Vec<String> = measurements.iter().map(show).collect();
    assert_eq!(
        shown,
        [
            "data.bytes 13 byte",
            "data.documents 3 1",
            "data.exact_duplicates 0.333333333 1 [0.333333333, 0.333333334] 1/3",
            "data.licence_declared 0.333333333 1 [0.333333333, 0.333333334] 1/3",
            "data.source_declared 0.666666667 1 [0.666666666, 0.666666667] 2/3",
        ]
    );
    for measurement in measurements {
        assert_eq!(Measurement::from_json(&measurement.to_json()).unwrap(), measurement);
    }
    let tokens = dataset::tokens_measurement(9, Digest::of(b"tokenizer"), &subject, "test 1", at).unwrap();
    assert_eq!(show(&tokens), "data.tokens 9 1");
}

fn show(measurement: &Measurement) -> String {
    let mut text = format!("{} {} {}", measurement.metric.id, measurement.value, measurement.unit());
    if let (Some(interval), Some(k), Some(n)) = (&measurement.interval, measurement.k, measurement.n) {
        text += &format!(" [{}, {}] {k}/{n}", interval.lower, interval.upper);
    }
    text
}
