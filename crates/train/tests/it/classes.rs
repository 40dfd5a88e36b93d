//! Heads that tell classes.
