"""The model: how rows are parted in time, fitted, calibrated, explained, kept and applied."""
