"""Fuzzing of all readers: whatever a file holds, a result or a documented error comes of it."""
