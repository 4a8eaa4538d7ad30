"""What benchmarks/lake_scale.py is made of."""
