"""The endpoint that running trials report to: `/v1/report`, `/v1/result`, `/v1/experiment`.

The same protocol locally and on a cluster; a shell says who a token belongs to and what a report
means. Bodies are bounded before they are parsed, and carry no identity: that is the token's.
"""
