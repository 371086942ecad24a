"""A random world in which edges judge, and a second, slow law beside it that says what the policy allows."""
