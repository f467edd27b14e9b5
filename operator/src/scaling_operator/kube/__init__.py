"""The Kubernetes shell: it watches, gathers and applies. It decides nothing."""
