//! The packs of the repository: they compile together, pass, leave no finding, and their tests notice what is changed.

use policy::{Level, Manifest, Mutated, Pack, clashes};
use std::{fs, path::PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every shipped pack with its `pack.toml`.
fn packs() -> Vec<(Pack, Manifest)> {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(root().join("packs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.join("pack.toml").is_file());
    folders.sort();
    let read = |folder: PathBuf| {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let mut files: Vec<(String, String)> = Vec::new();
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.extension().is_some_and(|extension| extension == "toml") && name(&path) != "pack.toml" {
                files.push((name(&path), fs::read_to_string(&path).unwrap()));
            }
        }
        files.sort();
        let shown =
            |errors: &[policy::CardError]| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n");
        let pack = Pack::compile(&name(&folder), &files).unwrap_or_else(|errors| panic!("{}", shown(&errors)));
        let text = fs::read_to_string(folder.join("pack.toml")).unwrap();
        let manifest = Manifest::read(&format!("packs/{}/pack.toml", name(&folder)), &text);
        (pack, manifest.unwrap_or_else(|errors| panic!("{}", shown(&errors))))
    };
    folders.into_iter().map(read).collect()
}

#[test]
fn the_shipped_packs_are_clean() {
    let packs = packs();
    assert!(packs.len() >= 4);
    assert_eq!(clashes(packs.iter().map(|(pack, _)| pack)), []);
    for (pack, manifest) in &packs {
        assert_eq!(pack.name(), manifest.name);
        assert_eq!(policy::test(pack).1, []);
        let errors: Vec<String> =
            policy::lint(pack).iter().filter(|lint| lint.level == Level::Error).map(ToString::to_string).collect();
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(policy::coverage(pack, Some(manifest)).findings, Vec::<String>::new());
    }
}

/// At most two changes in a hundred go unnoticed, and `pack.toml` excuses none that a test notices.
#[test]
fn the_tests_of_the_shipped_cards_notice_changes() {
    for (pack, manifest) in packs() {
        let mut all = Mutated::default();
        pack.cards().iter().for_each(|card| all.extend(policy::mutate(card, false)));
        pack.enforce_cards().iter().for_each(|card| all.extend(policy::mutate_enforce(card)));
        all.excuse(&manifest);
        let survived: Vec<String> = all.survived.iter().map(ToString::to_string).collect();
        assert!(
            all.is_enough(),
            "{}: {} of {}\n{}\n{}",
            pack.name(),
            survived.len(),
            all.mutants(),
            survived.join("\n"),
            all.idle.join("\n")
        );
    }
}

/// `cargo xtask tidy` reads the cards line by line; here the page is held against the cards as compiled.
#[test]
fn the_page_of_rules_says_what_the_cards_say() {
    let page = fs::read_to_string(root().join("docs/packs.md")).unwrap();
    let mut n_rows = 0;
    for (pack, manifest) in packs() {
        let coverage = policy::coverage(&pack, Some(&manifest));
        let (name, rules, measured, declared) =
            (pack.name(), coverage.rules, coverage.measured.len(), coverage.declared.len());
        let counts = format!(
            "| [`{name}`](#{name}) | {rules} | {measured} | {declared} | {} | {} |\n",
            coverage.per_request.len(),
            coverage.not_implemented.len()
        );
        assert!(page.contains(&counts), "{counts}");
        for card in pack.cards() {
            let from = card.windows.iter().map(|window| window.from).min().unwrap();
            let (id, kind, confirmed) = (&card.id, card.kind.name(), card.confirmed().name());
            let row = format!("| `{id}` | {kind} | {confirmed} | {from} | {} |\n", card.title.replace('|', "\\|"));
            assert!(page.contains(&row), "{row}");
            n_rows += 1;
        }
        for card in pack.enforce_cards() {
            let from = card.windows.iter().map(|window| window.from).min().unwrap();
            let (id, confirmed) = (&card.id, card.confirmed().name());
            let row = format!("| `{id}` | enforce | {confirmed} | {from} | {} |\n", card.title.replace('|', "\\|"));
            assert!(page.contains(&row), "{row}");
            n_rows += 1;
        }
    }
    assert_eq!(page.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 4).count(), n_rows);
}
