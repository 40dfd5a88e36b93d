//! The loop: observe, measure, decide, enforce, record. Once, for everything.
//!
//! In: a case, packs, evidence as it comes. Out: signed entries, decisions, and the answer whether work may go on.
//! It does not know how numbers are computed, and it runs no training of its own.
//!
//! A case is read strictly:
//!
//! ```
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("assize.toml"), "[system]\nname = \"a\"\nrole = \"owner\"\n[policy]\npacks = []\n")?;
//! let error = supervise::case::Case::read(folder.path()).unwrap_err();
//! assert_eq!((error.line, error.column), (3, 8));
//! assert_eq!(error.message, "expected a role, one of `provider`, `deployer`, `modifier`, `importer`, `distributor`, found `owner`");
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod case;
mod recheck;
mod run;
pub mod signed;
mod terms;

pub use recheck::{Rechecked, recheck};
pub use run::{Clock, Found, Gate, Record, Run, RunError, facts_of};
pub use terms::{PackText, PolicyError, Terms, packs_of, rules_of, waivers_of};
