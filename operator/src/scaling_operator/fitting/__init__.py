"""Between the core, which knows no numpy, and the laws, which know plain numbers alone."""
