"""Fits the score that says of a result whether it is to be trusted, see ``dualtask.doubt``."""
