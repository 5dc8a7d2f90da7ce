"""Publishing on the Hub: the model, its dataset, its metrics and its Space."""
