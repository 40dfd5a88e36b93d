//! Cross-validation of what is fitted: a classifier head on a model's frozen representations, or on the columns of a table.
//!
//! In: rows with a class, and how to cut them. Out: a figure a fold, the folds themselves, and an interval that allows for
//! the overlap of training parts. Whatever is fitted (standardisation, categories, λ, the head) is fitted on the training
//! part of its fold alone; λ is chosen in folds within it.

pub mod encode;
pub mod logistic;
pub mod represent;
pub mod run;
pub mod splits;
pub mod table;

pub use logistic::{Fitted, Head, Method};
pub use run::{FoldConfig, FoldOutcome, Folded, FoldsError, cross_validate};
pub use splits::{SplitKind, split};
pub use table::{Features, Table, TableError};
