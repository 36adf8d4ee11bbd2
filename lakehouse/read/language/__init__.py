"""Language: Lucene text and times as users write them -> the query tree."""
