"""Work that a tenant's file asks for, in processes of its own with bounds of time and memory.

The event loop never does it, and what exceeds its bounds ends alone. Between the processes go JSON
documents with a length before them: nothing is unpickled.
"""
