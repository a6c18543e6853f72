"""Binaries: recipes, builder, artifact cache."""
