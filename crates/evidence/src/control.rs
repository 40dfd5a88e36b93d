//! What enforcement may say to work in progress.

/// The answer of supervision to whoever asked before going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    Continue,
    /// Go on, and let a person know.
    Warn(String),
    /// Do not do what was about to be done; leave a state that can be resumed.
    Stop(String),
    /// To training in trouble: go on with steps of so many hundredths of their length.
    LowerRate {
        percent: u32,
    },
    /// To training in trouble: go back to the last state that was good, leave out so many batches, and go on from there with
    /// steps of so many hundredths of their length.
    RollBack {
        percent: u32,
        skip: u64,
    },
}
