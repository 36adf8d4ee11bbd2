"""The embedded hot store: one Tantivy index per kind and arrival day."""
