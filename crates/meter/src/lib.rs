//! What a model costs: FLOP, memory, time, energy and carbon, predicted, sensed and held to a budget.
