"""What two services or more need."""
