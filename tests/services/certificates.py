"""An authority of the tests' own, and what it signed: one certificate for servers, one for clients."""

from __future__ import annotations

from pathlib import Path

import trustme

__all__ = ["Certificates"]


class Certificates:
    """Files in PEM form; each certificate stands in one file with its key."""

    def __init__(self, folder: Path) -> None:
        ours, foreign = trustme.CA(), trustme.CA()
        self.authority = str(folder / "authority.pem")
        self.foreign_authority = str(folder / "foreign-authority.pem")
        self.server = str(folder / "server.pem")
        self.server_of_another_name = str(folder / "server-of-another-name.pem")
        self.client = str(folder / "client.pem")
        ours.cert_pem.write_to_path(self.authority)
        foreign.cert_pem.write_to_path(self.foreign_authority)
        for file, name in (
            (self.server, "127.0.0.1"),
            (self.server_of_another_name, "redis.example"),
            (self.client, "shop@example.com"),
        ):
            ours.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(file)

    @property
    def options(self) -> dict[str, str]:
        """What a URL needs after the question mark, with a client's certificate."""
        return {"ssl_ca_certs": self.authority, "ssl_certfile": self.client}
