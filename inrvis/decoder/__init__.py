"""From a file to voxels: numpy and ONNX Runtime, no torch."""
