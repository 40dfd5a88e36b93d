//! Read, digest, split and count text corpora.
