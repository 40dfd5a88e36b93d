//! Rule cards and the decision.
