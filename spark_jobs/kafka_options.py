"""Translates the Kafka settings from librdkafka's names to those of Spark's Java client.

A setting that decides where and how to connect is translated or refused, never dropped. librdkafka's tuning settings are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from aimaas.errors import SettingsError
from aimaas.kafka.roles import SPARK_GROUPS
from aimaas.lake import Offsets
from aimaas.settings import Settings, kafka_variable

_SECURITY = "org.apache.kafka.common.security"
_LOGIN = {
    "PLAIN": f"{_SECURITY}.plain.PlainLoginModule",
    "SCRAM-SHA-256": f"{_SECURITY}.scram.ScramLoginModule",
    "SCRAM-SHA-512": f"{_SECURITY}.scram.ScramLoginModule",
}
_OAUTH = "sasl.oauthbearer."
# settings that decide how to connect; those that cannot be translated are refused
_DECIDES = (
    "ssl.",
    "sasl.",
    "https.",
    "enable.ssl.",
    "enable.sasl.",
    "metadata.broker.list",
    "broker.address.",
    "plugin.",
)

Translate = Callable[[Mapping[str, str]], dict[str, str]]


def connection_options(settings: Settings) -> dict[str, str]:
    """Options of Spark's source: brokers, TLS, client certificates, SASL, and the prefix of its consumer groups.

    Raises SettingsError for a setting that has no equivalent in the Java client.
    """
    given = {name: value for name, value in settings.kafka.items() if value}
    java, used = {"isolation.level": "read_committed"}, set[str]()
    for names, translate in _TRANSLATED:
        if any(name in given for name in names):
            java |= translate(given)
            used |= set(names)
    left = sorted(name for name in given if name.startswith(_DECIDES) and name not in used)
    if left:
        raise _refused(left[0], "Spark's Kafka client has no such setting")
    return {f"kafka.{name}": value for name, value in java.items()} | {"groupIdPrefix": SPARK_GROUPS}


def _refused(name: str, why: str) -> SettingsError:
    return SettingsError(f"{kafka_variable(name)}: {why}; unset it where Spark jobs run, or connect in another way")


def _where(given: Mapping[str, str]) -> dict[str, str]:
    names = ("bootstrap.servers", "client.id", "client.dns.lookup")
    protocol = {"security.protocol": given["security.protocol"].upper()} if "security.protocol" in given else {}
    return {name: given[name] for name in names if name in given} | protocol


def _host_check(given: Mapping[str, str]) -> dict[str, str]:
    name = "ssl.endpoint.identification.algorithm"
    return {name: "" if given[name] == "none" else given[name]}  # Java: an empty value disables the check


def _verification(given: Mapping[str, str]) -> dict[str, str]:
    if given["enable.ssl.certificate.verification"] != "true":
        raise _refused("enable.ssl.certificate.verification", "Spark's Kafka client always verifies certificates")
    return {}


def _authority(given: Mapping[str, str]) -> dict[str, str]:
    if "ssl.ca.pem" in given:
        return {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": given["ssl.ca.pem"]}
    place = given["ssl.ca.location"]
    if place == "probe":
        return {}  # the certificate authorities of the machine
    if Path(place).is_dir():
        raise _refused("ssl.ca.location", "Spark's Kafka client takes one PEM file, not a folder")
    return {"ssl.truststore.type": "PEM", "ssl.truststore.location": place}


def _client_certificate(given: Mapping[str, str]) -> dict[str, str]:
    chain = _pem(given, "ssl.certificate.pem", "ssl.certificate.location")
    key = _pem(given, "ssl.key.pem", "ssl.key.location")
    if "PRIVATE KEY" not in key or "RSA PRIVATE" in key or "EC PRIVATE" in key:
        raise _refused(
            "ssl.key.location", "Spark's Kafka client takes a key in PKCS #8 (convert it with `openssl pkcs8 -topk8`)"
        )
    password = {"ssl.key.password": given["ssl.key.password"]} if "ssl.key.password" in given else {}
    return {"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": chain, "ssl.keystore.key": key, **password}


def _pem(given: Mapping[str, str], inline: str, place: str) -> str:
    if inline in given:
        return given[inline]
    if place not in given:
        raise SettingsError(f"{kafka_variable(place)}: not set; a client certificate needs a certificate and a key")
    try:
        return Path(given[place]).read_text()
    except OSError as e:
        raise SettingsError(f"{kafka_variable(place)}: {given[place]} cannot be read: {e.strerror}") from None


def _keystore(given: Mapping[str, str]) -> dict[str, str]:
    password = given.get("ssl.keystore.password", "")
    place = {"ssl.keystore.type": "PKCS12", "ssl.keystore.location": given.get("ssl.keystore.location", "")}
    return place | {"ssl.keystore.password": password, "ssl.key.password": password}


def _sasl(given: Mapping[str, str]) -> dict[str, str]:
    mechanism = given.get("sasl.mechanism", given.get("sasl.mechanisms", "")).upper()
    if mechanism == "OAUTHBEARER":
        return {"sasl.mechanism": mechanism, **_oauth(given)}
    if mechanism not in _LOGIN:
        raise _refused("sasl.mechanism", f"{mechanism or 'none'} is not one of {', '.join([*_LOGIN, 'OAUTHBEARER'])}")
    login = {name: given.get(f"sasl.{name}", "") for name in ("username", "password")}
    return {"sasl.mechanism": mechanism, "sasl.jaas.config": _jaas(_LOGIN[mechanism], login)}


def _oauth(given: Mapping[str, str]) -> dict[str, str]:
    if given.get(f"{_OAUTH}method", "default").lower() != "oidc":
        raise _refused(f"{_OAUTH}method", "Spark's Kafka client takes only oidc")
    kept = {"clientId": "client.id", "clientSecret": "client.secret", "scope": "scope"}
    login = {java: given[_OAUTH + name] for java, name in kept.items() if _OAUTH + name in given}
    for extension in filter(None, given.get(f"{_OAUTH}extensions", "").split(",")):
        name, _, value = extension.partition("=")
        login[f"extension_{name.strip()}"] = value
    if "https.ca.location" in given:
        login |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": given["https.ca.location"]}
    return {
        "sasl.jaas.config": _jaas(f"{_SECURITY}.oauthbearer.OAuthBearerLoginModule", login),
        "sasl.login.callback.handler.class": f"{_SECURITY}.oauthbearer.OAuthBearerLoginCallbackHandler",
        "sasl.oauthbearer.token.endpoint.url": given.get(f"{_OAUTH}token.endpoint.url", ""),
    }


def _jaas(module: str, login: Mapping[str, str]) -> str:
    return " ".join([module, "required", *(f"{name}={json.dumps(value)}" for name, value in login.items())]) + ";"


_OAUTH_NAMES = ("method", "client.id", "client.secret", "scope", "extensions", "token.endpoint.url")
_TRANSLATED: tuple[tuple[tuple[str, ...], Translate], ...] = (
    (("bootstrap.servers", "security.protocol", "client.id", "client.dns.lookup"), _where),
    (("ssl.endpoint.identification.algorithm",), _host_check),
    (("enable.ssl.certificate.verification",), _verification),
    (("ssl.ca.location", "ssl.ca.pem"), _authority),
    (
        ("ssl.certificate.location", "ssl.certificate.pem", "ssl.key.location", "ssl.key.pem", "ssl.key.password"),
        _client_certificate,
    ),
    (("ssl.keystore.location", "ssl.keystore.password"), _keystore),
    (("sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password", "https.ca.location",
      *(_OAUTH + name for name in _OAUTH_NAMES)), _sasl),
)  # fmt: skip


def partitions_json(offsets: Offsets) -> str:
    """The partitions of `offsets` in the form of the option `assign`: {topic: [partition, …]}."""
    topics: dict[str, list[int]] = {}
    for topic, partition in sorted(offsets):
        topics.setdefault(topic, []).append(partition)
    return json.dumps(topics)
