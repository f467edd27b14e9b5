"""The shell without a cluster: a folder instead of the API server, processes instead of pods."""
