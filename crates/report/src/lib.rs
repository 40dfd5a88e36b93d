//! Verified entries to documents.
