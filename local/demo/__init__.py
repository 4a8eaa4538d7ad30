"""`aimaas demo`: the whole path on real engines, and a reckoning of what came out against what went in."""
