"""The HTTP server of `unipose serve`: chats with poses in OpenAI's format, answered in batches."""
