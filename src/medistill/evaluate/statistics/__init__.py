"""Numbers in, numbers out: intervals, AUROC and its variance, differences, calibration."""
