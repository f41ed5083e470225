"""The model: time split, fit, calibration, explanation, storage and scoring."""
