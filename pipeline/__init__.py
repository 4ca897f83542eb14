"""Plain functions from references to references. Knows neither Prefect nor the checks."""
