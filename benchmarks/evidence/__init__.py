"""Comparison of ITNets with the field's specialists on real data: `python benchmarks/compare.py`."""
