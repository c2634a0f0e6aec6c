"""What every result says of itself."""

NOTICE = "Research software, not a medical device; not cleared for diagnosis"
