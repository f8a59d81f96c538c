"""The marketplace: creators, their APIs, what they earn and how they are paid."""
