"""Scaling operator: how performance depends on size, and which size to train."""
