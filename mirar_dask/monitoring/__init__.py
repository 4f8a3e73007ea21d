"""Shows what a run does: the state folded from its events, the console, the summary."""
