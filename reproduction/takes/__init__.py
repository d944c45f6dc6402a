"""What it takes to reach the paper's figures: a designed study of the settings that the paper does not disclose."""
