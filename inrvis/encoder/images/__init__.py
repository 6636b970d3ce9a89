"""Databases of images: training of a codec for pairs, and coding of all images with it."""
