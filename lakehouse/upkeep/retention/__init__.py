"""Retention: policy and holdings -> a plan of the steps that are due, and their execution."""
