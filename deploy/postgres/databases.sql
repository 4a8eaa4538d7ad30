-- run by the Postgres image when its volume is new; POSTGRES_DB makes Airflow's database
CREATE DATABASE mlflow;
