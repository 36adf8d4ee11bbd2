"""The hot store on an OpenSearch cluster: one index per kind and arrival day."""
