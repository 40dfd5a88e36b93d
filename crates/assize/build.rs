//! Puts the packs of the repository into the program, so that it needs no folder beside it.

use std::{env, error::Error, fmt::Write as _, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../packs");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut table = String::from("pub(crate) const PACKS: &[(&str, &[(&str, &str)])] = &[\n");
    for folder in sorted(&root)?.into_iter().filter(|path| path.is_dir()) {
        println!("cargo::rerun-if-changed={}", folder.display());
        writeln!(table, "    ({:?}, &[", name(&folder))?;
        let is_card = |path: &std::path::PathBuf| {
            path.extension().is_some_and(|extension| extension == "toml" || extension == "rego") && name(path) != "pack.toml"
        };
        for card in sorted(&folder)?.into_iter().filter(is_card) {
            println!("cargo::rerun-if-changed={}", card.display());
            writeln!(table, "        ({:?}, include_str!({:?})),", name(&card), card.canonicalize()?.display().to_string())?;
        }
        table.push_str("    ]),\n");
    }
    table.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("packs.rs"), table)?;
    Ok(())
}

fn sorted(folder: &Path) -> std::io::Result<Vec<std::path::PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
