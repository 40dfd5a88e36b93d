//! The verbs by which a rule author sees how far a pack goes, how good its tests are, and begins a card.

use crate::{Ended, packs, screen};
use anyhow::{Context as _, bail};
use evidence::{Json, metric};
use jiff::civil::Date;
use policy::{Card, Manifest, Mutated, Pack};
use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use supervise::PackText;

/// A pack with what its `pack.toml` says, where it has one.
struct Read {
    pack: Pack,
    manifest: Option<Manifest>,
}

fn read(texts: &[PackText]) -> anyhow::Result<Vec<Read>> {
    let one = |text: &PackText| {
        let pack = Pack::compile(&text.name, &text.cards).map_err(|errors| packs::refuse(&errors))?;
        let manifest = packs::manifest(&text.name)?;
        let manifest = manifest.map(|(file, text)| Manifest::read(&file, &text)).transpose();
        Ok(Read { pack, manifest: manifest.map_err(|errors| packs::refuse(&errors))? })
    };
    texts.iter().map(one).collect()
}

pub(crate) fn coverage(texts: &[PackText], is_json: bool) -> anyhow::Result<Ended> {
    let all: Vec<_> = read(texts)?.iter().map(|read| policy::coverage(&read.pack, read.manifest.as_ref())).collect();
    if is_json {
        let rows = all.iter().map(policy::Coverage::to_json).collect();
        screen::json(&Json::map([("packs", Some(Json::List(rows)))]));
    } else {
        let head = ["measured", "declared", "per request", "not implemented"];
        screen::line(&format!(
            "{:16} {:>6} {:>9} {:>9} {:>12} {:>16}",
            "pack", "rules", head[0], head[1], head[2], head[3]
        ));
        for one in &all {
            let (measured, declared, not) = (one.measured.len(), one.declared.len(), one.not_implemented.len());
            let (name, rules, requests) = (&one.pack, one.rules, one.per_request.len());
            screen::line(&format!("{name:16} {rules:>6} {measured:>9} {declared:>9} {requests:>12} {not:>16}"));
        }
        for one in all.iter().filter(|one| !one.not_implemented.is_empty()) {
            screen::line(&format!("\n{}, not implemented:", one.pack));
            one.not_implemented.iter().for_each(|line| screen::line(&format!("  {:40} {}", line.id, line.reason)));
        }
        all.iter().flat_map(|one| &one.findings).for_each(|finding| screen::line(finding));
    }
    Ok(if all.iter().all(|one| one.findings.is_empty()) { Ended::Well } else { Ended::Denied })
}

pub(crate) fn mutate(texts: &[PackText], is_suggesting: bool, is_json: bool) -> anyhow::Result<Ended> {
    let mut all = Mutated::default();
    let mut rows = Vec::new();
    let mut is_enough = true;
    for read in read(texts)? {
        let mut of_pack = Mutated::default();
        let of_requests = read.pack.enforce_cards().iter().map(policy::mutate_enforce);
        of_cards(read.pack.cards(), is_suggesting).into_iter().chain(of_requests).for_each(|one| of_pack.extend(one));
        if let Some(manifest) = &read.manifest {
            of_pack.excuse(manifest);
        }
        is_enough &= of_pack.is_enough();
        if is_json {
            let mut row = of_pack.to_json().members().cloned().unwrap_or_default();
            row.insert("pack".to_owned(), read.pack.name().into());
            rows.push(Json::Map(row));
        } else {
            tell(read.pack.name(), &of_pack);
        }
        all.extend(of_pack);
    }
    if is_json {
        let mut members = all.to_json().members().cloned().unwrap_or_default();
        members.insert("packs".to_owned(), Json::List(rows));
        screen::json(&Json::Map(members));
    }
    Ok(if is_enough { Ended::Well } else { Ended::Denied })
}

/// Changes the cards of a pack on every core; the result is in the order of the cards.
fn of_cards(cards: &[Card], is_suggesting: bool) -> Vec<Mutated> {
    let n_threads = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((at, card)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, cards.get(at)?)))
        {
            done.push((at, policy::mutate(card, is_suggesting)));
        }
        done
    };
    let mut done: Vec<(usize, Mutated)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, mutated)| mutated).collect()
}

fn tell(pack: &str, mutated: &Mutated) {
    for mutation in &mutated.survived {
        screen::line(&mutation.to_string());
        if let Some(suggestion) = &mutation.suggestion {
            suggestion.lines().for_each(|line| screen::line(&format!("    {line}")));
        }
    }
    mutated.idle.iter().for_each(|line| screen::line(&format!("{pack}/pack.toml: {line}")));
    let (n, killed, equal) = (mutated.mutants(), mutated.killed, mutated.equivalent.len());
    screen::line(&format!(
        "{pack}: {killed} of {n} changes noticed, {} survive, {equal} say the same",
        mutated.survived.len()
    ));
}

/// Writes a first card about a fact into a folder, and never over another file.
pub(crate) fn new(id: &str, fact: &str, folder: &Path, today: Date) -> anyhow::Result<Ended> {
    let Some(metric) = metric::find(fact) else {
        let near = policy::nearest_fact(fact).map(|near| format!("did you mean `{near}`?"));
        bail!("no fact `{fact}` in the catalogue; {}", near.unwrap_or_else(|| "docs/metrics.md lists them".to_owned()));
    };
    let card = policy::draft(id, metric, today)?;
    let path = folder.join(format!("{id}.toml"));
    fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => {
            file.write_all(card.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists and is left as it is; take another id, or remove the file first", path.display());
        }
        Err(error) => return Err(error).with_context(|| format!("{} cannot be written", path.display())),
    }
    screen::line(&format!("wrote {}", path.display()));
    screen::line("put the clause, the dates and the numbers in, then:");
    let pack = folder.display();
    screen::line(&format!(
        "  assize policy test {pack} && assize policy lint {pack} && assize policy mutate {pack} --suggest"
    ));
    Ok(Ended::Well)
}

/// Prints the JSON Schema of a card, for an editor.
pub(crate) fn schema() -> Ended {
    screen::json(&policy::schema());
    Ended::Well
}
