"""Data sets: reading or making them, splitting them, and handing them over as tensors."""
