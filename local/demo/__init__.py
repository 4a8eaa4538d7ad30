"""`aimaas demo`: runs the whole pipeline on real engines, and compares outputs with inputs."""
