"""What outlives the process, on disk: rooms, who was in them, and who may not come back."""
