//! Architectures, weight files and tokenizers.
