"""The API server: requests, errors, watches, the index, the Lease and the work queue."""
