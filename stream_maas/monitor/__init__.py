"""The monitoring agent's knowledge: event-time windows, mergeable histograms, alert rules and the life of an alert."""
