"""What can be wrong with an answer that somebody wrote, one file per kind; `written_answers` and its like ask them."""
