//! `[[data]]`: what is trained on, and what is said of where it comes from.

use super::{CaseError, read::Reader, wire};
use evidence::{DIGITS_MAX, Decimal, Round};
use std::path::{Path, PathBuf};
use toml::Spanned;

#[derive(Debug, Clone)]
pub struct DataSource {
    pub name: String,
    /// As written: relative to the folder of the case.
    pub path: PathBuf,
    pub licence: Option<String>,
    pub source: Option<String>,
    /// Documents are blank-line separated sections rather than whole files.
    pub by_section: bool,
    /// How much it counts in a mixture, beside its size.
    pub weight: Option<f64>,
    /// Whether a model made the texts, where somebody says so.
    pub generated: Option<Generated>,
    /// Only the documents of these shards are taken.
    pub shards: Option<Shards>,
    /// Of a table of rows: the columns that are read, and the one that names the class.
    pub labelled: Option<Labelled>,
}

/// Rows with a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// One alone is read as it stands, several as `name: value` one after another; none: all but the class.
    pub text: Vec<String>,
    pub label: String,
    /// Whether the first line names the columns; else they are `c1`, `c2`, ….
    pub has_header: bool,
}

/// What is said of how texts came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Generated {
    /// By people, or at least by no model.
    No,
    /// By a model.
    By {
        name: String,
        /// What sampling them took, where a record of it does not lie beside them.
        compute_flop: Option<Decimal>,
        /// Whether anyone can get the texts: the EU does not count what they took then.
        is_public: bool,
    },
}

/// Documents dealt by their content into `of` shards, of which some are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shards {
    pub of: u64,
    pub take: Vec<u64>,
}

impl Reader<'_> {
    pub(super) fn data(&self, folder: &Path, data: wire::Data) -> Result<DataSource, CaseError> {
        self.existing(folder, &data.path, "corpus")?;
        let path = PathBuf::from(data.path.get_ref());
        let by_section = matches!(data.split, Some(wire::Split::Section));
        let weight = data.weight.map(|weight| self.within("a weight", &weight, 0.0, f64::INFINITY)).transpose()?;
        let generated = data.generated.map(|said| self.generated(said)).transpose()?;
        let shards = data.shards.map(|shards| self.shards(&shards)).transpose()?;
        let labelled = self.labelled(data.text, data.label, !data.no_header)?;
        let (name, licence, source) = (data.name, data.licence, data.source);
        Ok(DataSource { name, path, licence, source, by_section, weight, generated, shards, labelled })
    }

    fn generated(&self, said: Spanned<wire::Generated>) -> Result<Generated, CaseError> {
        let span = said.span();
        let said = match said.into_inner() {
            wire::Generated::Flag(false) => return Ok(Generated::No),
            wire::Generated::Flag(true) => {
                let name = "a model that is not named".to_owned();
                return Ok(Generated::By { name, compute_flop: None, is_public: false });
            }
            wire::Generated::By(said) => said,
        };
        let stated = |flop: f64| {
            let decimal = Decimal::from_f64(flop, DIGITS_MAX, Round::Nearest).ok().filter(|flop| *flop > Decimal::ZERO);
            let message = format!("expected `compute_flop` as a number above zero, found `{flop}`");
            decimal.ok_or_else(|| self.complain(span.clone(), message, "leave it out where nobody knows"))
        };
        let compute_flop = said.compute_flop.map(stated).transpose()?;
        Ok(Generated::By { name: said.by, compute_flop, is_public: said.public })
    }

    fn shards(&self, shards: &wire::Shards) -> Result<Shards, CaseError> {
        let of = *shards.of.get_ref();
        if of == 0 {
            return Err(self.complain(shards.of.span(), "expected at least 1 shard, found `0`", ""));
        }
        let mut take = shards.take.get_ref().clone();
        take.sort_unstable();
        take.dedup();
        match take.iter().find(|shard| **shard >= of) {
            Some(shard) => {
                let message = format!("expected shards from 0 to {}, found `{shard}`", of - 1);
                Err(self.complain(shards.take.span(), message, "shards are numbered from 0"))
            }
            None if take.is_empty() => {
                Err(self.complain(shards.take.span(), "expected at least one shard to take, found none", ""))
            }
            None => Ok(Shards { of, take }),
        }
    }
}
