"""What the experts of a trained mixture do: who serves which motion, where, and what it is worth."""
