"""Assets: one file per table -> the table's assets and checks, from bus topic to archive."""
