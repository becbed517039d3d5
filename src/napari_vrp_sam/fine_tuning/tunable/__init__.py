"""Models as fine-tuning sees them: trained parameters, loss and evaluation."""
