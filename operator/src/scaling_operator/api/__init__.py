"""What people write and read: the one source of validation, of the CRDs and of result.json."""
