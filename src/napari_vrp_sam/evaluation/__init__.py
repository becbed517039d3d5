"""Models measured: metrics, the one-slice protocol and the baselines users have today."""
