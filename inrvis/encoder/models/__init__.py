"""The models that volumes are encoded with, a file each."""
