"""From the room into the inbox, and what is answered."""
