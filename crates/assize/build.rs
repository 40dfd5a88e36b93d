//! Puts the packs of the repository into the program, so that it needs no folder beside it: the cards of each, the classes
//! of scenarios that stand in its folder `scenario`, and its `pack.toml`.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../packs");
    println!("cargo::rerun-if-changed={}", root.display());
    let packs: Vec<PathBuf> = sorted(&root)?.into_iter().filter(|path| path.is_dir()).collect();
    let scenarios: Vec<PathBuf> = packs.iter().map(|pack| pack.join("scenario")).filter(|path| path.is_dir()).collect();
    let owners = scenarios.iter().map(|folder| folder.parent().map(name).unwrap_or_default());
    let mut text = table("PACKS", packs.iter().map(|pack| (name(pack), pack)))?;
    text.push_str(&table("SCENARIOS", owners.zip(&scenarios))?);
    text.push_str(&manifests(&packs)?);
    fs::write(Path::new(&env::var("OUT_DIR")?).join("packs.rs"), text)?;
    Ok(())
}

/// A constant that holds, folder by folder, the name and text of every `*.toml` but `pack.toml`, and of every `*.rego`.
fn table<'a>(constant: &str, folders: impl Iterator<Item = (String, &'a PathBuf)>) -> Result<String, Box<dyn Error>> {
    let mut table = format!("pub(crate) const {constant}: &[(&str, &[(&str, &str)])] = &[\n");
    for (owner, folder) in folders {
        println!("cargo::rerun-if-changed={}", folder.display());
        writeln!(table, "    ({owner:?}, &[")?;
        let is_kept = |path: &PathBuf| {
            let is_part = path.extension().is_some_and(|extension| extension == "toml" || extension == "rego");
            path.is_file() && is_part && name(path) != "pack.toml"
        };
        for file in sorted(folder)?.into_iter().filter(is_kept) {
            println!("cargo::rerun-if-changed={}", file.display());
            writeln!(
                table,
                "        ({:?}, include_str!({:?})),",
                name(&file),
                file.canonicalize()?.display().to_string()
            )?;
        }
        table.push_str("    ]),\n");
    }
    table.push_str("];\n");
    Ok(table)
}

/// A constant that holds the `pack.toml` of each pack that has one.
fn manifests(packs: &[PathBuf]) -> Result<String, Box<dyn Error>> {
    let mut table = String::from("pub(crate) const MANIFESTS: &[(&str, &str)] = &[\n");
    for folder in packs.iter().filter(|folder| folder.join("pack.toml").is_file()) {
        let manifest = folder.join("pack.toml");
        println!("cargo::rerun-if-changed={}", manifest.display());
        writeln!(
            table,
            "    ({:?}, include_str!({:?})),",
            name(folder),
            manifest.canonicalize()?.display().to_string()
        )?;
    }
    table.push_str("];\n");
    Ok(table)
}

fn sorted(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
