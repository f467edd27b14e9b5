"""What the tests of ring 2 and 3 stand on: Kubernetes' own programs, built and started here."""
