"""A broker that is closed: TLS, SASL, and an authorizer that denies whatever no ACL allows.

The listener of the local stack stays, and who comes by it is a super user: tests make users and ACLs there. Beside it stand a
SASL_SSL listener for the roles, one whose certificate has expired, one whose certificate is another host's, one without TLS, and
one that knows its clients by their certificates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from aimaas.kafka.acls import binding
from aimaas.kafka.rights import Right
from local.broker import Broker, properties_text, start_broker
from local.ports import HOST, free_port
from tests.secured.certificates import Authority, authority, signed

PASSWORD = "right-2f7b"
_LISTENERS = {
    "ROLES": "SASL_SSL",
    "EXPIRED": "SASL_SSL",
    "ELSEWHERE": "SASL_SSL",
    "OPEN": "SASL_PLAINTEXT",
    "CERTIFIED": "SSL",
}


@dataclass(frozen=True)
class SecuredBroker:
    """The running broker, its listeners' ports, and what a client needs to be let in."""

    broker: Broker
    ports: dict[str, int]
    authority: Authority
    stranger: Authority
    folder: Path

    def variables(self, user: str, listener: str = "ROLES", password: str = PASSWORD) -> dict[str, str]:
        """The environment under which `user` connects."""
        return {
            "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{self.ports[listener]}",
            "AIMAAS_KAFKA_SECURITY_PROTOCOL": _LISTENERS[listener],
            "AIMAAS_KAFKA_SSL_CA_LOCATION": str(self.authority.path),
            "AIMAAS_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "AIMAAS_KAFKA_SASL_USERNAME": user,
            "AIMAAS_KAFKA_SASL_PASSWORD": password,
        }

    @property
    def admin(self) -> AdminClient:
        """A super user's client."""
        return AdminClient({"bootstrap.servers": self.broker.bootstrap_servers})

    def add_user(self, name: str) -> None:
        """Let `name` in by SCRAM with the one password."""
        client, info = self.admin, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion(name, info, PASSWORD.encode())
        client.alter_user_scram_credentials([user])[name].result(30)

    def grant(self, user: str, rights: Iterable[Right]) -> None:
        """Let `user` do this."""
        client, bindings = self.admin, [binding(user, right) for right in rights]
        for future in client.create_acls(bindings).values():
            future.result(30)

    def revoke(self, user: str, right: Right) -> None:
        """Take one right away that was granted."""
        client, acl = self.admin, binding(user, right)
        (future,) = client.delete_acls([_as_filter(acl)]).values()
        assert len(future.result(30)) == 1


def _as_filter(of: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        of.restype, of.name, of.resource_pattern_type, of.principal, of.host, of.operation, of.permission_type
    )


def start_secured(folder: Path, jars: Path) -> SecuredBroker:
    """Start the broker on a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    ca, stranger = authority(folder, "authority"), authority(folder, "stranger")
    ports = {name: free_port() for name in _LISTENERS}
    stores = {
        "ROLES": signed(ca, folder, "broker"),
        "CERTIFIED": signed(ca, folder, "broker-of-certified"),
        "EXPIRED": signed(ca, folder, "expired", expired=True),
        "ELSEWHERE": signed(ca, folder, "elsewhere", host="kafka.example"),
    }
    for name, (certificate, key) in stores.items():
        (folder / f"{name}.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
    (folder / "server.properties").write_text(_properties(folder, ports, ca))
    return SecuredBroker(start_broker(folder, jars), ports, ca, stranger, folder)


def _properties(folder: Path, ports: dict[str, int], ca: Authority) -> str:
    added = ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())
    kinds = ",".join(f"{name}:{kind}" for name, kind in _LISTENERS.items())
    lines = []
    for line in properties_text(folder).splitlines():
        name = line.partition("=")[0]
        more = {"listeners": added, "advertised.listeners": added, "listener.security.protocol.map": kinds}.get(name)
        lines.append(f"{line},{more}" if more else line)
    lines += [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found=false",
        "super.users=User:ANONYMOUS",
        "sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN",
        "connection.failed.authentication.delay.ms=100",
        "ssl.truststore.type=PEM",
        f"ssl.truststore.location={ca.path}",
        "listener.name.certified.ssl.client.auth=required",
    ]
    for name, kind in _LISTENERS.items():
        if kind.endswith("SSL"):
            lines += [
                f"listener.name.{name.lower()}.ssl.keystore.{k}" for k in ("type=PEM", f"location={folder / name}.pem")
            ]
        if kind.startswith("SASL"):
            at = f"listener.name.{name.lower()}"
            lines += [
                f"{at}.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
                f'{at}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_nobody="x";',
            ]
    return "\n".join(lines) + "\n"
