"""Training: data, captions, collator, stages and metrics. Imports the model and the processor, never the reverse."""
