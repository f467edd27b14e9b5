"""What both shells share: the state of one experiment, and the engine that carries plans out."""
