//! Rule cards and the decision: the law as typed data, held against evidence as of a day.
//!
//! In: card files as text, what a case says of its system, measurements and declarations, a date. Out: one verdict a rule
//! with its reason, and the effect; the same inputs give the same bytes.
//!
//! ```
//! use evidence::{Declaration, Declared, Digest, Subject, metric};
//! use policy::{Effect, Facts, Mode, Pack, Rules, Stage, System, decide};
//!
//! let card = r#"
//! schema    = 1
//! id        = "house.documents"
//! version   = "1.0.0"
//! kind      = "assess"
//! severity  = "high"
//! owner     = "data"
//! title     = "The corpus has at least ten documents"
//! gates     = ["data"]
//! applies   = 'true'
//! pass_when = 'data.documents.value >= 10'
//! fail_when = 'data.documents.value < 10'
//! remedy    = "Add documents to `[[data]]`."
//! cite  = [{ instrument = "House rules", locator = "1", says = "ten documents or more", confirmed = "yes" }]
//! force = [{ from = 2026-01-01, source = "house" }]
//! needs = [{ fact = "data.documents", type = "count", max_age_days = 30 }]
//! "#;
//! let pack = Pack::compile("house", &[("documents.toml".to_owned(), card.to_owned())]).map_err(|all| all[0].to_string())?;
//! let rules = Rules::new(vec![(pack, Mode::Enforce)]);
//!
//! let mut facts = Facts::new();
//! let day = jiff::civil::date(2026, 11, 23);
//! let denied = decide(&rules, Some(Stage::Data), &System::new(), &facts, day);
//! assert_eq!(denied.effect, Effect::Deny);
//! assert_eq!(denied.verdicts[0].finding.reason.to_string(), "evidence-missing: there is no evidence of data.documents");
//!
//! let declaration = Declaration {
//!     metric: metric::find("data.documents").ok_or("no such fact")?,
//!     subject: Subject::new("corpus", Digest::of(b"corpus")),
//!     declared: Declared::Count(64),
//!     owner: "data".to_owned(),
//!     at: "2026-11-20T08:00:00Z".parse()?,
//!     expires: jiff::civil::date(2027, 1, 1),
//! };
//! facts.declare(&declaration, Digest::of(b"envelope"));
//! let allowed = decide(&rules, Some(Stage::Data), &System::new(), &facts, day);
//! assert_eq!(allowed.verdicts[0].finding.reason.to_string(), "holds: data.documents.value = 64 meets >= 10");
//! assert_eq!(allowed.effect, Effect::Allow);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Cards that are decided per request (`kind = "enforce"`) are read plainly by `decide_request`, and compiled into a `Plan` for
//! whoever serves requests. `rego` writes all cards as Rego.
//!
//! It reads no file, clock, environment, random source or network, and does not know where evidence came from. It evaluates
//! Rego (a card's `[check]`) only where the feature `rego` is on.

mod boundary;
mod calendar;
mod card;
mod change;
mod coverage;
mod crosswalk;
mod decide;
mod diff;
mod draft;
mod enforce;
mod explain;
pub mod expr;
mod facts;
mod hatch;
mod jurisdiction;
mod lint;
mod load;
mod manifest;
mod mutate;
mod obligation;
mod pack;
mod plan;
mod problem;
pub mod rego;
mod request;
pub mod scenario;
mod schema;
mod suggest;
mod threshold;
mod trial;
mod unseen;
mod verdict;
mod waiver;
mod why;
mod wire;

pub use calendar::{Calendar, Event, Turned, calendar, calendar_end};
pub use card::*;
pub use change::{Nearest, Turn, Way, nearest};
pub use coverage::{Coverage, coverage};
pub use crosswalk::{Elsewhere, crosswalk};
pub use decide::{Rules, decide};
pub use diff::{Change, diff};
pub use draft::{DraftError, draft};
pub use enforce::{
    Acted, CardFinding, CardState, EnforceCard, Oblige, RequestDecision, RequestTest, Streaming, card_finding,
    decide_request,
};
pub use explain::{Explanation, Step, explain};
pub use facts::{Fact, Facts, System, SystemError, fields, nearest_fact};
pub use hatch::Check;
pub use jurisdiction::is_jurisdiction;
pub use lint::{Level, Lint, lint};
pub use manifest::{Equivalent, Manifest, NotImplemented};
pub use mutate::{Mutated, Mutation, mutate, mutate_enforce};
pub use obligation::{Obligation, ObligationError, RequestEffect};
pub use pack::{Pack, clashes};
pub use plan::{Plan, PlanError};
pub use problem::{CARD_BYTES_MAX, CardError};
pub use request::{MEMBERS, Member, Point, Request, RequestError};
pub use schema::schema;
pub use threshold::{Threshold, thresholds};
pub use trial::{TestFailure, test};
pub use verdict::*;
pub use waiver::{Waiver, WaiverError};
