#!/bin/sh
# The entrypoint of our image: puts each file of /run/secrets into the variable that it is named after, and becomes the command.
# So no secret stands in the description of a container. Health checks and `docker compose exec` call it as `with-secrets`.
set -eu
for file in /run/secrets/*; do
    name=$(basename "$file")
    case $name in '*' | *[!A-Z0-9_]*) continue ;; esac
    [ -r "$file" ] || { echo "error: $file cannot be read by user $(id -u): see docs/how-to/run-in-containers.md#use-the-secrets" >&2; exit 78; }
    export "$name=$(cat "$file")"
done
# Airflow's triggerer waits for outcomes through this connection
if [ -n "${AIRFLOW_HOME:-}" ]; then
    export AIRFLOW_CONN_KAFKA_DEFAULT="{\"conn_type\": \"kafka\", \"extra\": {\"group.id\": \"aimaas-airflow\",
        \"auto.offset.reset\": \"latest\", \"enable.auto.commit\": \"false\",
        \"bootstrap.servers\": \"$AIMAAS_KAFKA_BOOTSTRAP_SERVERS\", \"security.protocol\": \"$AIMAAS_KAFKA_SECURITY_PROTOCOL\",
        \"sasl.mechanism\": \"$AIMAAS_KAFKA_SASL_MECHANISM\", \"sasl.username\": \"$AIMAAS_KAFKA_SASL_USERNAME\",
        \"sasl.password\": \"$AIMAAS_KAFKA_SASL_PASSWORD\"}}"
fi
# the kernel was compiled when the image was built; its cache must lie where the process may write
[ -d "$NUMBA_CACHE_DIR" ] || cp -r /opt/aimaas/kernel-cache "$NUMBA_CACHE_DIR"
exec "$@"
