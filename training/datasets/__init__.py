"""Records -> rows of the seven tasks -> shards, with what describes and shows them."""
