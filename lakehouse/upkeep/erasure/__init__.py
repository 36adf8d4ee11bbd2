"""Erasure: a subject -> none of its records in any tier, and a signed receipt."""
