"""HTTP servers that nobody can overload: how much a client may hold, send, and keep waiting."""
