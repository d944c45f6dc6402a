"""The model file: one safetensors file with a JSON header. Nothing in it can run code."""
