"""What correction by clicks is worth: clicks of a simulated annotator on cases whose reference is known."""
