"""Building blocks shared by fine-tuning and research: episodes, augmentation, losses.

`training.synthetic` generates images of unlimited classes to train on.
"""
