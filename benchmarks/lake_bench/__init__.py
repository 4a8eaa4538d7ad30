"""The parts of benchmarks/lake_scale.py."""
