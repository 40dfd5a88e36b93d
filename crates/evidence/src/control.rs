//! What enforcement may say to work in progress.

/// The answer of supervision to whoever asked before going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    Continue,
    /// Go on, and let a person know.
    Warn(String),
    /// Do not do what was about to be done; leave a state that can be resumed.
    Stop(String),
}
