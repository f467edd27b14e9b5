"""How performance depends on size: from points to a law with intervals and conditions."""
