"""Publishing a model: its folder with a card, and the hub."""
