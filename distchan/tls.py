"""Contexts for ``ssl=``, for the common cases: certificates in files.

A server shows a certificate; a client accepts one that its authorities have signed for the host
that it connects to. With ``client_ca``, clients have to show a certificate, too.

Both contexts allow TLS 1.3 only. Whatever runs this library, or a Go program of the last years, has
that version; it has no compression, no renegotiation and no weak ciphers that somebody could turn
on. Peers that are older need a context of your own, which is taken as it is.
"""

import contextlib
import os
import ssl
from collections.abc import Iterator
from typing import Final, TypeAlias

__all__ = ["client_context", "server_context"]

File: TypeAlias = str | os.PathLike[str]

_VERSION: Final = ssl.TLSVersion.TLSv1_3


def server_context(
    certfile: File, keyfile: File | None = None, *, client_ca: File | None = None
) -> ssl.SSLContext:
    """For ``Server(..., ssl=)``.

    certfile: the server's certificate in PEM, and those of authorities between it and the clients'.
    keyfile: its private key in PEM, not encrypted. None: it is in ``certfile``, too.
    client_ca: certificates in PEM of the authorities that sign clients' certificates; others are
        refused, and so are clients without one. None (default): anybody may connect.

    Raises OSError for a file that cannot be read, ValueError for one with something else in it.
    """
    with _told(client_ca):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca)
    context.minimum_version = _VERSION
    context.num_tickets = 0  # no connection refers to an earlier one
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    _load(context, certfile, keyfile)
    return context


def client_context(
    ca: File | None = None, *, certfile: File | None = None, keyfile: File | None = None
) -> ssl.SSLContext:
    """For ``Client(..., ssl=)``.

    ca: certificates in PEM of the authorities that sign servers' certificates. None (default):
        those that the system trusts.
    certfile, keyfile: the client's own certificate, for a server that wants one, as for
        server_context().

    The server's certificate has to be valid now, and for the host of the client's address, see
    ``server_hostname``.

    Raises OSError for a file that cannot be read, ValueError for one with something else in it.
    """
    with _told(ca):
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    context.minimum_version = _VERSION
    if certfile is not None:
        _load(context, certfile, keyfile)
    elif keyfile is not None:
        raise ValueError("keyfile needs the certificate that belongs to it, certfile")
    return context


def _load(context: ssl.SSLContext, certfile: File, keyfile: File | None) -> None:
    for file in (certfile, keyfile):
        if file is not None:
            with open(file, "rb"):
                pass  # an error of load_cert_chain() would not say which file it is about
    with _told(certfile if keyfile is None else keyfile):
        context.load_cert_chain(certfile, keyfile, password=_no_password)


def _no_password() -> str:
    # Without this, OpenSSL would ask for it on the terminal, and wait.
    raise ValueError("the private key is encrypted")


@contextlib.contextmanager
def _told(file: File | None) -> Iterator[None]:
    """Errors say which file they are about, and that it is what is in there."""
    try:
        yield
    except ssl.SSLError as error:
        what = error.reason or str(error)
        raise ValueError(
            f"{file} is not the file in PEM that was expected: {what.lower().replace('_', ' ')}"
        ) from error
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(file)) from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
