"""The only place that imports Prefect: one file per flow, and the command line."""
