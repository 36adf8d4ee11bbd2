"""Text: bytes and words as people and programs write them -> times, levels, pairs. Pure functions, no I/O."""
