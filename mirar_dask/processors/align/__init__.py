"""Alignment of frames: finding how they lie (pure functions of arrays), and resampling them."""
