"""Supervision: a plan -> child processes, kept alive, logged, and stopped in order."""
