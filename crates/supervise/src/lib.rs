//! The loop measure, decide, enforce, record; cases; budgets in force.
