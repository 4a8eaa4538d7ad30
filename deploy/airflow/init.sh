#!/bin/sh
# Brings Airflow's database to this version, writes the login of its pages and makes the pool of Spark tasks. Safe to run at every
# start; a pool that is there keeps its slots.
set -eu
umask 077
printf '{"admin": "%s"}\n' "${AIRFLOW_ADMIN_PASSWORD:?is not set: see .env.example}" \
    > "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
airflow db migrate
airflow pools get spark > /dev/null 2>&1 || airflow pools set spark 2 "Spark jobs at once"
