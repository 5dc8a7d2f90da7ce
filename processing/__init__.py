"""Processing: images, text and poses -> a batch; ids -> text and codes; posed bodies, images and files."""
