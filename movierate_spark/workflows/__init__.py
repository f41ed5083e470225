"""The jobs: one module each, with the order of its steps from inputs to outputs."""
