"""The Kubernetes shell: it watches, gathers, applies, and decides nothing."""
