"""The frozen model behind the Engine contract. May import memory's words and errors."""
