"""Numbers about bias: of the data, of the annotators, of the model. What a check asks of them stands in `validators/`."""
