"""Full-size models: SAM's image encoder and mask decoder, prompted by references."""
