"""The trainer: one trial of a scaling experiment, and the contract any trainer can keep."""
