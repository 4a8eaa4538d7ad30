#!/bin/sh
# Brings Airflow's database to this version and writes the login of its pages. Safe to run at every start.
set -eu
umask 077
printf '{"admin": "%s"}\n' "${AIRFLOW_ADMIN_PASSWORD:?is not set: see .env.example}" \
    > "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
exec airflow db migrate
