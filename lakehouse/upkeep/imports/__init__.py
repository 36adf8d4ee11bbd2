"""Imports: old records from files -> rows of the lake, each once."""
