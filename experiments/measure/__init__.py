"""Measurements of kpjax itself: pages of results, costs, and other programs on the same data."""
