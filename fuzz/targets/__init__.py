"""What is fuzzed."""

from typing import Final

__all__ = ["TARGETS"]

#: Of each target, the modules and packages of the library that it is about.
TARGETS: Final[dict[str, tuple[str, ...]]] = {
    "framing": ("_framing", "_frames"),
    "server_session": ("_server_session", "_outstanding", "_session", "_handshake", "_shapes"),
    "client_session": ("_client_session", "_session", "_handshake"),
    "authentication": ("_authentication", "_session", "_handshake"),
    "codecs": ("codecs", "_payloads"),
    "gob": ("gob", "_go.frames", "_go.session"),
    "transforms": ("transforms", "_payloads"),
}
