//! What a model costs: compute counted, time, memory, energy and carbon predicted and read, all held to a budget.
//!
//! In: sizes of an architecture, counters of the machine, tables of data. Out: exact counts, bounds, refusals. It does not know how a
//! model is computed. Accelerators and their counters, and cost in money, are not read here.
//!
//! ```
//! use meter::{Architecture, Crossing};
//!
//! let model = Architecture { layers: 4, width: 256, heads: 8, kv_heads: 4, head_width: 32, hidden: 688, vocabulary: 2048, is_gated: true };
//! assert_eq!(model.parameters(), 3_426_560);
//! let flop = evidence::Decimal::from_u128(model.training(16, 128), evidence::Round::Nearest);
//! let eu = "1e25".parse()?;
//! assert_eq!(Crossing::of(flop, flop, |compute| compute > eu), Crossing::No);
//! # Ok::<(), evidence::DecimalError>(())
//! ```

mod accelerator;
mod budget;
mod carbon;
pub mod flop;
mod guard;
mod hardware;
mod modification;
mod plan;
mod power;
mod rapl;
mod ratio;

pub use accelerator::peak_dense_bf16;
pub use budget::{Account, AccountError, Caps, Cost, KINDS, Refusal, UnknownCarbon};
pub use carbon::{Intensity, SOURCE, intensity};
pub use flop::Architecture;
pub use guard::Guard;
pub use hardware::{CpuIdentity, Hardware, group_memory_peak, memory_available, memory_peak};
pub use modification::{Original, exceeds_a_third, modification_share, modification_thirds, stated};
pub use plan::{Crossing, PlanInput, Quantity, Score, predict, score, training_memory_bytes};
pub use power::{Joules, PowerModel, Sensor};
pub use rapl::{NoCounter, Rapl};
