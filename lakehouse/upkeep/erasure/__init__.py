"""Erasure: a subject -> its records removed from every tier, and a signed receipt."""
