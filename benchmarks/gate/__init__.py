"""The battery of the training gate: real trainings, healthy and broken, and what the gate said."""
