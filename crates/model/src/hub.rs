//! The files of a model as the hub lays them out: configuration and weights under the hub's names, wherever they come from.

mod config;
mod tensors;

pub use config::HubConfig;
pub use tensors::TensorError;
pub(crate) use tensors::{Change, Kind, Made, Stored, Tensors, hub_shape};
