"""Gather → plan → apply for one experiment, and what that needs of the cluster."""
