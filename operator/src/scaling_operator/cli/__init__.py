"""The command line: `scaling run | validate | predict | report`."""
