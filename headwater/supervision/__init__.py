"""Supervision: a plan -> processes that are kept alive, logged, and stopped in order."""
