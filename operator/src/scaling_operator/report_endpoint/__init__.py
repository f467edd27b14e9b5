"""The endpoint that running trials report to: `/v1/report`, `/v1/result`, `/v1/experiment`.

The protocol is the same locally and on a cluster; a shell says who owns a token and what follows
from a report. Bodies are bounded before they are parsed, and carry no identity: the token does.
"""
