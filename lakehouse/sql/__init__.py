"""SQL: query trees, literals and windows -> SQL of the lake's engine."""
