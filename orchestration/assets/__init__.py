"""Assets: one file for each table -> its assets and checks, from bus topic to archive."""
