//! A decision as the formats in which results are read elsewhere. `docs/formats.md` has the table of what becomes what.
//!
//! Pure: values in, text out, the same bytes for the same values. Counts in a file are counts of that file's own rows.

mod assessment;
mod catalog;
mod junit;
mod policy_report;
mod sarif;

pub use assessment::oscal_assessment_results;
pub use catalog::{CatalogPack, oscal_catalog, oscal_profile};
pub use junit::junit;
pub use policy_report::policy_report;
pub use sarif::{Results, sarif};

use crate::run;
use evidence::{Digest, Json};
use std::collections::BTreeMap;

/// A decision, and what the formats want to know besides.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    /// As it was taken, or as it was signed.
    pub decision: &'a Json,
    /// The name of the system decided about.
    pub system: &'a str,
    /// Of the program.
    pub version: &'a str,
    /// Where each verdict comes from, the nearest cause first; in the order of the verdicts, shorter where nothing is known.
    pub places: &'a [Vec<Location>],
    /// Files, by digest, that evidence stands in; all other evidence stands in envelopes of the dossier.
    pub files: &'a BTreeMap<Digest, String>,
    /// Where each idle waiver lies, in the order of `idleWaivers`.
    pub waivers: &'a [Location],
}

/// A place in a file. Lines and columns count from 1, columns in characters; the end is the first character after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Relative to where the program was called.
    pub uri: String,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
    /// Why it is shown.
    pub why: String,
}

/// One verdict, its waiver apart from its outcome.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    json: &'a Json,
    pack: &'a str,
    rule: &'a str,
    /// `pass`, `fail`, …; what the waiver, if any, is laid over.
    outcome: &'a str,
    waiver: Option<&'a Json>,
    /// The reason's code and sentence.
    code: &'a str,
    sentence: &'a str,
}

impl<'a> Row<'a> {
    fn all(checked: &Checked<'a>) -> Vec<Self> {
        run::list(checked.decision, &["verdicts"]).iter().map(Self::new).collect()
    }

    fn new(json: &'a Json) -> Self {
        let text = |key: &str| run::text(json, &[key]).unwrap_or_default();
        let verdict = text("verdict");
        let waived = verdict.strip_prefix("waived(").and_then(|rest| rest.strip_suffix(')'));
        let (code, sentence) = text("reason").split_once(": ").unwrap_or(("", text("reason")));
        Self {
            json,
            pack: text("pack"),
            rule: text("rule"),
            outcome: waived.unwrap_or(verdict),
            waiver: json.get("waiver").filter(|_| waived.is_some()),
            code,
            sentence,
        }
    }

    fn text(&self, key: &str) -> &'a str {
        run::text(self.json, &[key]).unwrap_or_default()
    }

    /// `fail`, `waived(fail)`, …
    fn verdict(&self) -> &'a str {
        self.text("verdict")
    }

    fn is_enforced(&self) -> bool {
        self.text("mode") == "enforce"
    }

    fn is_info(&self) -> bool {
        self.text("severity") == "info"
    }

    /// An outcome that no table knows counts as an error: unknown words never look like a pass.
    fn lets_through(&self) -> bool {
        matches!(self.outcome, "pass" | "not-applicable" | "not-in-force")
    }

    fn cites(&self) -> &'a [Json] {
        run::list(self.json, &["cite"])
    }

    /// `Art. 14(4)(e), Regulation (EU) 2024/1689`, for each clause.
    fn clauses(&self) -> String {
        let clause = |cite: &Json| {
            let text = |key: &str| run::text(cite, &[key]).unwrap_or_default().to_owned();
            format!("{}, {}", text("locator"), text("instrument"))
        };
        self.cites().iter().map(clause).collect::<Vec<_>>().join("; ")
    }

    /// What the clauses say, in our paraphrase.
    fn says(&self) -> String {
        self.cites().iter().filter_map(|cite| run::text(cite, &["says"])).collect::<Vec<_>>().join("; ")
    }

    fn confirmation(&self) -> &'static str {
        match self.text("confirmed") {
            "yes" => "clause read in a named source",
            "part" => "clause read in part or second-hand",
            _ => "clause recalled, not read",
        }
    }
}

/// The members of a waiver that a reader of results needs.
fn waived_by(waiver: &Json) -> String {
    let text = |key: &str| run::text(waiver, &[key]).unwrap_or_default();
    let approvers: Vec<&str> = run::list(waiver, &["approvers"]).iter().filter_map(Json::as_text).collect();
    format!(
        "{}; instead: {}; waived by {}, approved by {}, until {}",
        text("reason"),
        text("compensating"),
        text("author"),
        approvers.join(" and "),
        text("expires")
    )
}

/// `the waiver of rule R does nothing: why`, for each.
fn idle_waivers(decision: &Json) -> Vec<(&str, String)> {
    let idle = run::list(decision, &["idleWaivers"]).iter();
    let sentence = |item| {
        let rule = Json::get(item, "waiver").and_then(|waiver| run::text(waiver, &["rule"])).unwrap_or_default();
        let why = run::text(item, &["finding"]).unwrap_or_default();
        (rule, format!("the waiver of rule {rule} does nothing: {why}"))
    };
    idle.map(sentence).collect()
}
