"""From the outbox into the room."""
