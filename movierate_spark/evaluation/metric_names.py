"""The metrics' names and what they agree on, exact ones and resampled ones alike."""

METRICS = ("auc", "auc_pr", "log_loss", "brier", "ece", "accuracy", "precision", "recall", "f1")
ECE_BINS = 20
PIECES = 1000
SMALLEST_PROBABILITY = 1e-15
