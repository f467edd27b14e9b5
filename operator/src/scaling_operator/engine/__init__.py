"""What both shells do alike: keep the books of an experiment, and carry a plan out in order."""
