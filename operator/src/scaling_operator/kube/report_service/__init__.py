"""The endpoint of a cluster for running trials: HTTPS, certificates, and tokens of pods."""
