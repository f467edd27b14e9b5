"""What both shells share: the state of one experiment, and how a plan is carried out in order."""
