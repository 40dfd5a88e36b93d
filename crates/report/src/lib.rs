//! Verified entries to documents: the dossier page, the evidence and the decisions as JSON. A decision to the formats of others:
//! SARIF, PolicyReport, JUnit, OSCAL.
//!
//! In: the entries of a log whose signatures, proofs and digests have been checked. Out: text, the same bytes for the
//! same entries.
//!
//! ```
//! use evidence::{Digest, Json, Predicate, Statement, Subject};
//!
//! let system = Json::map([("name", Some("speech-writer".into()))]);
//! let predicate = Json::map([("runId", Some("run-a".into())), ("system", Some(system))]);
//! let subject = Subject::new("assize.toml", Digest::of(b"case"));
//! let statement = Statement { subjects: vec![subject], predicate_type: Predicate::Plan, predicate };
//! let records = [report::Record { index: 0, envelope: Digest::of(b"envelope"), statement }];
//! assert!(report::index_html(&records).contains("<h1>speech-writer</h1>"));
//! assert_eq!(report::decisions_json(&records), "{\n  \"decisions\": []\n}\n");
//! ```
//!
//! It reads no file, clock or network, verifies nothing, and does no arithmetic: every figure that a person reads stands
//! in an entry as it is printed. Coordinates of drawings are not figures.

mod calendar;
mod charts;
mod documents;
mod export;
mod figures;
mod html;
mod matrix;
mod page;
mod run;
mod sections;
mod stages;
mod tables;
mod verdict;

pub use documents::{decisions_json, evidence_json};
pub use export::{
    CatalogPack, Checked, Location, Results, junit, oscal_assessment_results, oscal_catalog, oscal_profile,
    policy_report, sarif,
};
pub use page::index_html;

/// One verified entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Position in the log.
    pub index: u64,
    /// SHA-256 of the envelope file, and so its name.
    pub envelope: evidence::Digest,
    pub statement: evidence::Statement,
}
