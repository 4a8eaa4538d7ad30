"""Settings of librdkafka as Spark's client takes them: translated or refused, never dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimaas.errors import AimaasError, KafkaLastingError, SettingsError
from aimaas.settings import Settings, read_settings
from spark_jobs.failures import explained
from spark_jobs.kafka_options import connection_options

PKCS8 = "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n"


def settings(**kafka: str) -> Settings:
    variables = {f"AIMAAS_KAFKA_{name.upper()}": value for name, value in kafka.items()}
    return read_settings({"AIMAAS_HOME": "nowhere", **variables})


def options(**kafka: str) -> dict[str, str]:
    found = connection_options(settings(**kafka))
    return {name.removeprefix("kafka."): value for name, value in found.items()}


def test_plain_settings_need_nothing_more_than_the_address_and_a_name_for_groups() -> None:
    assert options(linger_ms="7") == {
        "bootstrap.servers": "localhost:9092",
        "isolation.level": "read_committed",
        "groupIdPrefix": "aimaas-spark",
    }


def test_a_user_and_a_password_become_a_login_whatever_characters_they_have() -> None:
    found = options(
        security_protocol="sasl_ssl", sasl_mechanism="SCRAM-SHA-512", sasl_username="u", sasl_password='a"b'
    )
    assert found["security.protocol"] == "SASL_SSL"
    assert found["sasl.jaas.config"].endswith('ScramLoginModule required username="u" password="a\\"b";')


def test_client_certificates_reach_spark_as_pem(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("CERT")
    (tmp_path / "k.pem").write_text(PKCS8)
    found = options(
        ssl_certificate_location=str(tmp_path / "c.pem"), ssl_key_location=str(tmp_path / "k.pem"), ssl_key_password="p"
    )
    assert found["ssl.keystore.type"] == "PEM"
    assert (found["ssl.keystore.certificate.chain"], found["ssl.keystore.key"]) == ("CERT", PKCS8)
    assert found["ssl.key.password"] == "p"


def test_a_keystore_reaches_spark() -> None:
    found = options(ssl_keystore_location="/k.p12", ssl_keystore_password="p")
    assert (found["ssl.keystore.type"], found["ssl.keystore.location"]) == ("PKCS12", "/k.p12")
    assert found["ssl.key.password"] == "p"


def test_oauth_reaches_spark() -> None:
    found = options(
        sasl_mechanism="OAUTHBEARER", sasl_oauthbearer_method="oidc", sasl_oauthbearer_client_id="i",
        sasl_oauthbearer_client_secret="s", sasl_oauthbearer_scope="kafka", sasl_oauthbearer_extensions="pool=a",
        sasl_oauthbearer_token_endpoint_url="https://login.example/token",
    )  # fmt: skip
    assert found["sasl.oauthbearer.token.endpoint.url"] == "https://login.example/token"
    assert found["sasl.login.callback.handler.class"].endswith("oauthbearer.OAuthBearerLoginCallbackHandler")
    assert 'clientId="i" clientSecret="s" scope="kafka" extension_pool="a";' in found["sasl.jaas.config"]


@pytest.mark.parametrize(("librdkafka", "java"), [("none", ""), ("https", "https")])
def test_no_host_check_is_an_empty_algorithm_in_java(librdkafka: str, java: str) -> None:
    found = options(ssl_endpoint_identification_algorithm=librdkafka)
    assert found["ssl.endpoint.identification.algorithm"] == java


REFUSED = [
    ({"ssl_cipher_suites": "X"}, "AIMAAS_KAFKA_SSL_CIPHER_SUITES"),
    ({"sasl_kerberos_keytab": "x"}, "AIMAAS_KAFKA_SASL_KERBEROS_KEYTAB"),
    ({"sasl_mechanism": "GSSAPI"}, "AIMAAS_KAFKA_SASL_MECHANISM"),
    ({"enable_ssl_certificate_verification": "false"}, "AIMAAS_KAFKA_ENABLE_SSL_CERTIFICATE_VERIFICATION"),
    ({"sasl_mechanism": "OAUTHBEARER", "sasl_oauthbearer_config": "x"}, "AIMAAS_KAFKA_SASL_OAUTHBEARER_METHOD"),
    ({"broker_address_family": "v6"}, "AIMAAS_KAFKA_BROKER_ADDRESS_FAMILY"),
    ({"ssl_certificate_pem": "c", "ssl_key_pem": "-----BEGIN RSA PRIVATE KEY-----"}, "openssl pkcs8 -topk8"),
    ({"ssl_certificate_pem": "c"}, "AIMAAS_KAFKA_SSL_KEY_LOCATION: not set"),
    ({"ssl_certificate_location": "/none", "ssl_key_pem": "k"}, "/none cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(("kafka", "named"), REFUSED)
def test_what_java_has_nothing_like_is_refused_with_its_variable(kafka: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named) as raised:
        options(**kafka)
    assert "\n" not in str(raised.value)


class JavaError(Exception):
    """An error of a job: a line, and Java's stack trace with the causes."""

    def __init__(self, line: str, trace: str) -> None:
        super().__init__(line)
        self._stackTrace = trace


def told(trace: str) -> AimaasError:
    found = explained(JavaError("Job aborted due to stage failure", trace), [], settings(sasl_username="ingest"))
    assert found is not None
    assert "\n" not in str(found)
    return found


def test_a_right_that_spark_lacks_is_one_line_with_the_command_that_grants_it() -> None:
    topic = "Caused by: org.apache.kafka.common.errors.TopicAuthorizationException: Not authorized to access topics: [iot.m.events]"
    assert "User:ingest --operation Read --topic iot.m.events`" in str(told(f"at x\n{topic}\n ... 12 more"))
    group = "org.apache.kafka.common.errors.GroupAuthorizationException: Not authorized to access group: aimaas-spark-relation-1"
    assert "--group aimaas-spark --resource-pattern-type prefixed`" in str(told(group))


def test_a_login_that_spark_is_refused_is_one_line() -> None:
    found = told(
        "org.apache.kafka.common.errors.SaslAuthenticationException: Authentication failed: invalid credentials"
    )
    assert "localhost:9092" in str(found)
    assert isinstance(found, KafkaLastingError) or "no broker answers" in str(found)
