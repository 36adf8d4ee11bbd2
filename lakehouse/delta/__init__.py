"""Delta: one table or many -> handles, schemas, files, and commits that survive a race."""
