"""Retention: policy and holdings -> a plan of steps that are due, and its execution."""
