-- The Postgres image runs this once, when its volume is new. The databases are UTF-8 whatever the locale of the image is:
-- MLflow writes names and units of sensors.
CREATE DATABASE airflow ENCODING 'UTF8' TEMPLATE template0;
CREATE DATABASE mlflow ENCODING 'UTF8' TEMPLATE template0;
