"""The ONNX export: graphs, their 8-bit form, and a model that runs them."""
