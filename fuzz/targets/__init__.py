"""What is fuzzed."""

from typing import Final

__all__ = ["TARGETS"]

_SESSION: Final = ("_session", "_handshake", "_shapes")

#: Of each target, the modules and packages of the library that it is about.
TARGETS: Final[dict[str, tuple[str, ...]]] = {
    "framing": ("_framing", "_frames"),
    "server_session": ("_server_session", "_outstanding", *_SESSION),
    "client_session": ("_client_session", *_SESSION),
    "codecs": ("codecs", "_payloads"),
    "gob": ("gob", "_go.frames", "_go.session"),
    "transforms": ("transforms", "_payloads"),
}
