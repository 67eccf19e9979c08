"""The verbs: short pipelines over carriers, coverages and envelopes."""
