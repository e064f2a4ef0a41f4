"""Studies: many trainings planned, run side by side, resumed, and reported on together."""
