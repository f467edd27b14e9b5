"""Kinds of workload that run an attempt: each a module with `manifest` and `observe`, both pure."""
