"""How the admin shows instants and days; Django looks here first."""
