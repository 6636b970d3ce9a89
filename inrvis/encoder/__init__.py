"""Training, quantisation and export: everything that needs torch."""
