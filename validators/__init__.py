"""Questions asked of a corpus: one file per question, found by listing this folder."""
