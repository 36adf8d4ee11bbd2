"""Imports: old records from files -> rows of the lake, without repeats."""
