//! From a description of a use to its classes under each regime: prohibited, high-risk, to be labelled, to be filed.
//!
//! In: class files as text, the answers of one scenario, a day. Out: each class yes, no or open, the path that led there,
//! and the questions that are worth asking next. The conditions are those of rule cards, over the closed table of `use.*`
//! and over other classes; what nobody has answered is missing, and a class that hangs on it is open, never no.
//!
//! ```
//! use policy::scenario::{Answer, Answers, Classes, classify};
//!
//! let file = r#"
//! schema     = 1
//! regime     = "eu"
//! instrument = "Regulation (EU) 2024/1689"
//! [[class]]
//! id     = "eu.annex3.p5b"
//! title  = "Creditworthiness of people"
//! when   = '"creditworthiness" in use.functions'
//! unless = 'use.fraud_detection_only'
//! cite   = [{ locator = "Annex III, 5(b)", says = "creditworthiness, but not to detect fraud", confirmed = "yes" }]
//! force  = [{ from = 2027-12-02, source = "Art. 113" }]
//! "#;
//! let classes = Classes::compile(&[("annex3.toml".to_owned(), file.to_owned())]).map_err(|all| all[0].to_string())?;
//! let mut answers = Answers::new();
//! answers.set_text("functions", "creditworthiness")?;
//! let day = jiff::civil::date(2026, 11, 26);
//! let classified = classify(&classes, &answers, day);
//! assert_eq!(classified.answer("eu.annex3.p5b"), Some(Answer::Open));
//! assert_eq!(classified.open_questions()[0].fact.name, "fraud_detection_only");
//!
//! answers.set_text("fraud_detection_only", "false")?;
//! let classified = classify(&classes, &answers, day);
//! assert_eq!(classified.outcomes()[0].answer, Answer::Yes);
//! assert_eq!(classified.outcomes()[0].standing.name(), "announced");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It decides nothing about duties: those are the rule cards' part, which a class names.

mod agree;
mod answers;
mod classes;
mod classify;
mod questions;
mod show;
pub mod table;

pub use agree::{Disagreement, disagreements};
pub use answers::{AnswerError, Answers, ScenarioFile};
pub use classes::{Class, Classes, Implies, LeftOut, Part, RiskClass};
pub use classify::{Answer, Classified, Outcome, PathStep, Standing, classify};
pub use questions::OpenQuestion;
pub use show::REGIMES;
