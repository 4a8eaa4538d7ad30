"""Makes the secrets of docker-compose.yml: python deploy/make_secrets.py FOLDER. What is there stays as it is.

The folder is for its owner alone. All may read the files in it, because each container reads those that it is given as a user of
its own; outside of the containers nobody gets past the folder.
"""

from __future__ import annotations

import base64
import secrets
import sys
from pathlib import Path

from aimaas.registry.signatures import make_keys

_RANDOM = (
    "kafka_password", "kafka_devices_password", "kafka_readers_password", "postgres_password", "airflow_admin_password",
    "airflow_secret_key", "airflow_jwt_secret", "grafana_admin_password", "http_api_key", "replay_key",
)  # fmt: skip
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


def make_secrets(folder: Path) -> list[str]:
    """Write the secrets that are missing; their names. Kafka's file is written anew from the passwords."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)  # also if the folder existed before
    found: dict[str, str] = {name: secrets.token_hex(32) for name in _RANDOM}
    found["airflow_fernet_key"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    found["signing_key"], found["verify_key"] = make_keys()
    made = [name for name in found if not (folder / name).exists()]
    if "signing_key" in made or "verify_key" in made:  # a pair
        made = [*{*made, "signing_key", "verify_key"}]
    for name in made:
        (folder / name).write_text(found[name])
    ours, devices, readers = (
        (folder / f"kafka_{whose}password").read_text().strip() for whose in ("", "devices_", "readers_")
    )
    (folder / "kafka_jaas.conf").write_text(
        f'internal.KafkaServer {{ {_PLAIN} username="aimaas" password="{ours}" user_aimaas="{ours}"; }};\n'
        f'external.KafkaServer {{ {_PLAIN} user_devices="{devices}" user_readers="{readers}"; }};\n'
    )
    return sorted(made)


if __name__ == "__main__":
    made = make_secrets(Path(sys.argv[1]))
    sys.stdout.write(f"made in {sys.argv[1]}: {', '.join(made) or 'nothing, all are there'}\n")
