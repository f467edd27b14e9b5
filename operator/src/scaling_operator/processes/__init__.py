"""Work on a tenant's experiment, in worker processes with bounds of time and memory.

The event loop never does such work, and work that exceeds its bounds ends without harm to others.
The processes exchange JSON documents, each with its length before it: nothing is unpickled.
"""
