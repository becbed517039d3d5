"""What a user drew becomes a reference: point, scribble, box or mask on one frame."""
