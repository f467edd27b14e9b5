"""How performance depends on size: points in, a law with intervals and conditions out. Pure."""
