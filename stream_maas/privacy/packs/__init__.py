"""The rows of the table of recognizers, by jurisdiction."""
