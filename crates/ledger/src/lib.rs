//! Envelopes, the tiled log, checkpoints, proofs and their verification.
