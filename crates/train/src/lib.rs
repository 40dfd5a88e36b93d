//! Objectives, regularisers, optimisers, schedules, folds and the training loop.
