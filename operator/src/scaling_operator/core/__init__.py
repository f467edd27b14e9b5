"""The pure core: what is observed goes in, a plan comes out. No clock, no I/O, no Optuna."""
