"""Models of what people write and read, and the names that they use."""
