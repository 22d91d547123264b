"""A certificate authority for the tests: what Postgres, the proxy and their clients show each other under TLS.

authority = Authority()
server = authority.issue("127.0.0.1")
with PostgresServer("17", **authority.postgres_settings(server)):
    psycopg.connect(..., sslmode="verify-full", sslrootcert=authority.certificate)
"""

import datetime as dt
import ipaddress
import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.servers.processes import ServerDirectory, unprivileged_account

_DAY = dt.timedelta(days=1)
_KEYS = ec.SECP256R1()


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, as files that Postgres accepts."""

    certificate: Path
    key: Path


class Authority:
    """One authority, with a folder for what it signs.

    Attributes:
        certificate: Its own certificate: what those who trust it have as `sslrootcert`.
        key: Its key.
    """

    def __init__(self) -> None:
        self._account = unprivileged_account()
        self._directory = ServerDirectory("certificates", self._account)
        self._directory.path.chmod(0o755)
        self._numbers = itertools.count(1)
        self._key = ec.generate_private_key(_KEYS)
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Test authority {id(self)}")])
        own = self._builder(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        written = self._write("authority", own.sign(self._key, hashes.SHA256()), self._key)
        self.certificate, self.key = written.certificate, written.key

    def issue(
        self,
        *hosts: str,
        common_name: str = "a test server",
        password: bytes | None = None,
        into: Certificate | None = None,
    ) -> Certificate:
        """Sign a certificate for some hosts, or for a client.

        Args:
            hosts: Names and addresses that it is for.
            common_name: What a server's `cert` authentication takes for the role.
            password: Encrypts the key.
            into: Files to replace.
        """
        key = ec.generate_private_key(_KEYS)
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]), key.public_key())
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), False)
        signed = builder.sign(self._key, hashes.SHA256())
        return self._write(f"issued-{next(self._numbers)}", signed, key, password, into)

    def postgres_settings(self, server: Certificate) -> dict[str, Any]:
        """Return the settings of a Postgres that speaks TLS with a certificate, and trusts this authority's clients."""
        return {
            "ssl": "on",
            "ssl_cert_file": str(server.certificate),
            "ssl_key_file": str(server.key),
            "ssl_ca_file": str(self.certificate),
        }

    def remove(self) -> None:
        """Delete everything."""
        self._directory.remove()

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
        )

    def _write(
        self,
        name: str,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        password: bytes | None = None,
        into: Certificate | None = None,
    ) -> Certificate:
        folder = self._directory.path
        files = into or Certificate(folder / f"{name}.crt", folder / f"{name}.key")
        lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files.key.touch(mode=0o600)
        files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))
        if self._account is not None:
            os.chown(files.key, self._account.uid, self._account.gid)
        return files


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
