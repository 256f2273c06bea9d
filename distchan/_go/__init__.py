"""Servers and clients on the wire of the Go original, ``wire="go"``: see docs/go.md.

From the socket to the channel: frames, session, connection, hub, dealer and inbox; clientele and
membership are what a Server and a Client see of it.
"""
