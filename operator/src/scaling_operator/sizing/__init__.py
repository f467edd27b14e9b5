"""From a trial to the machine it needs: pure functions over plain values; sizes are in bytes."""
