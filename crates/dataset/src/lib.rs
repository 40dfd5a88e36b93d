//! Corpora of text: read, digested, counted, and split by document.
//!
//! In: files and folders named by a case, with the licence and origin declared for them. Out: documents with digests,
//! findings that become measurements, and splits that never put equal documents on both sides.
//!
//! ```
//! use dataset::{Config, Source, Unit};
//!
//! let folder = tempfile::tempdir()?;
//! for name in ["a", "b", "c"] {
//!     std::fs::write(folder.path().join(format!("{name}.txt")), format!("The text of {name}.\n"))?;
//! }
//! let (path, split) = (".".into(), Unit::File);
//! let source = Source { name: "speeches".into(), path, licence: None, source: None, generated: None, split };
//! let config = Config { root: folder.path().into(), sources: vec![source], held_out: 0.34, seed: 7 };
//!
//! let corpus = dataset::read(&config)?;
//! assert_eq!(corpus.documents[0].id, "a.txt");
//! assert_eq!(dataset::audit(&corpus).bytes, 45);
//!
//! let split = dataset::split(&corpus, config.held_out, config.seed)?;
//! assert_eq!((split.train.len(), split.held_out.len()), (2, 1));
//! assert_eq!(dataset::leak(&corpus, &split).k, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Of texts that a model is to make, `Recipe` says which, and `Filter` which of them are kept; whoever holds a model samples them.
//!
//! What a corpus holds that one may not want to train on, `screen` says: identifiers of persons, terms of ill repute, texts of tests.
//!
//! It knows no models and no tokenizers, changes no text but for a byte-order mark, and of duplicates in a corpus finds exact ones only.

mod audit;
mod filter;
mod generated;
mod overlap;
mod permutation;
mod personal;
mod read;
mod recipe;
mod screen;
mod split;
mod terms;
mod words;

pub use audit::{Duplicate, Findings, audit, tokens_measurement};
pub use filter::{Filter, FilterError, Rejected};
pub use generated::{Mark, Origins, origins};
pub use overlap::Tests;
pub use personal::{Found, Identifier, identifiers};
pub use read::{
    BYTES_MAX, Config, Corpus, DatasetError, Document, FILE_BYTES_MAX, FILES_MAX, File, Source, Unit, read,
};
pub use recipe::{Recipe, RecipeError};
pub use screen::{Overlap, Screened, Touched, screen};
pub use split::{Leak, Split, SplitError, folds, leak, split, split_by};
pub use terms::{Terms, language};
