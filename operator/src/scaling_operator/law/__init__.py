"""How performance depends on size: points go in; a law with intervals and conditions comes out."""
