"""What makes a document valid: its rules, its errors, the CRDs and the tables of the guide."""
