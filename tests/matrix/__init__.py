"""The Matrix layer: whatever a homeserver or another member may do."""
