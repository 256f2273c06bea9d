"""Certificates for tests, made when they run: of a server, of clients, and wrong ones."""

import datetime
from pathlib import Path
from typing import Final

import trustme

__all__ = ["Certificates"]

_YESTERDAY: Final = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


class Certificates:
    """Files in PEM; a certificate's file has its private key, too."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        authority, stranger = trustme.CA(), trustme.CA()
        self.ca = self._write("ca.pem", authority.cert_pem)
        self.other_ca = self._write("other-ca.pem", stranger.cert_pem)
        #: Of the server: for this machine, and wrong ones.
        self.server = self._issue("server", authority)
        self.expired_server = self._issue("expired-server", authority, not_after=_YESTERDAY)
        self.elsewhere = self._issue("elsewhere", authority, "elsewhere.example")
        #: Of the client, and wrong ones.
        self.client = self._issue("client", authority, "client.example")
        self.expired_client = self._issue(
            "expired-client", authority, "client.example", not_after=_YESTERDAY
        )
        self.other_client = self._issue("other-client", stranger, "client.example")
        #: The server's in two files.
        certificate = authority.issue_cert("localhost")
        self.chain = self._write("chain.pem", *certificate.cert_chain_pems)
        self.key = self._write("key.pem", certificate.private_key_pem)

    def _issue(
        self,
        name: str,
        authority: trustme.CA,
        *hosts: str,
        not_after: datetime.datetime | None = None,
    ) -> Path:
        hosts = hosts or ("localhost", "127.0.0.1")
        certificate = authority.issue_cert(*hosts, not_after=not_after)
        return self._write(f"{name}.pem", certificate.private_key_and_cert_chain_pem)

    def _write(self, name: str, *blobs: trustme.Blob) -> Path:
        path = self._directory / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return path
