"""From what Label Studio wrote to values: files of every form (`exports`), the entries of a result (`results`), offsets in text
(`spans`, `marked`), and what the annotator saw (`shown`, `hypertext`). `entries` writes the same forms back."""
