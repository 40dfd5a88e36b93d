//! The vocabulary of Assize: digests, exact decimals, units, metrics, measurements, declarations and statements, and the
//! one encoder of what is signed.
//!
//! In: numbers with their circumstances. Out: canonical bytes, and the same values read back from verified bytes.
//!
//! ```
//! use evidence::{Decimal, Digest, Json, Predicate, Statement, Subject};
//!
//! let weights = Subject::new("model.safetensors", Digest::of(b"weights"));
//! let sparsity: Decimal = "0.50".parse()?;
//! let predicate = Json::map([("sparsity", Some(sparsity.into())), ("calibration", None)]);
//! let statement = Statement { subjects: vec![weights], predicate_type: Predicate::Compression, predicate };
//! assert!(statement.canonical().contains(r#""predicate":{"sparsity":"0.5"}"#));
//! assert_eq!(Statement::parse(&statement.canonical())?.subjects, statement.subjects);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It knows no files, no clock and no network.

mod control;
mod decimal;
mod digest;
mod json;
mod measurement;
pub mod metric;
mod statement;
mod unit;

pub use control::Control;
pub use decimal::{DIGITS_MAX, DIGITS_MEASURED, Decimal, DecimalError, Round};
pub use digest::{Digest, NotADigest};
pub use json::{INT_MAX, Json, JsonError};
pub use measurement::{Declaration, Declared, EvidenceError, Interval, Measurement, Provenance, Subject};
pub use metric::{About, Kind, Metric, SystemKind};
pub use statement::{DerivedFrom, PAYLOAD_TYPE, Predicate, STATEMENT_TYPE, Statement, StatementError};
pub use unit::Unit;
